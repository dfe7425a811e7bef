"""The leading part of a matrix.

Its ``residual`` is a bound that fails with probability 1e-6, from products with vectors that the basis has not seen.
"""

import math
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Outcome
from eigengate.estimators.probe_vectors import gaussian
from eigengate.operators import LinearOperator

# The bound below fails with probability 10 to the minus this.
_BOUND_PROBES: Final = 6


@final
@dataclass(frozen=True)
class LowRank:
    """A ≈ U diag(S) Vᵀ with ‖A − U diag(S) Vᵀ‖₂ at most ``residual`` plus the first left-out singular value.

    ``residual`` bounds ‖(I − QQᵀ)A‖₂ of the basis Q that was found, except with probability 1e-6.
    """

    U: Float[Tensor, "rows k"]
    S: Float[Tensor, " k"]
    V: Float[Tensor, "columns k"]
    residual: float
    num_products: int
    outcome: Outcome


def randomized_svd(
    A: LinearOperator, *, rank: int, oversampling: int = 10, power_iterations: int = 2, generator: torch.Generator
) -> LowRank:
    """The ``rank`` leading singular triplets from a randomised range (Halko, Martinsson & Tropp 2011, Alg. 4.4, 5.1).

    Args:
        A: Operator [rows, columns].
        rank: Triplets kept.
        oversampling: Columns drawn beyond them; 10 is that paper's advice (section 4.2).
        power_iterations: Passes of A Aᵀ that sharpen the range; 2 suits slow decay (section 4.5).
        generator: Draws Gaussian columns.
    """
    adjoint = A.adjoint()
    width = min(rank + oversampling, *A.shape)
    Q, _ = torch.linalg.qr(A @ gaussian(A, width, generator))
    for _ in range(power_iterations):
        Q, _ = torch.linalg.qr(adjoint @ Q)
        Q, _ = torch.linalg.qr(A @ Q)
    U, S, Vh = torch.linalg.svd((adjoint @ Q).mT, full_matrices=False)
    test = A @ gaussian(A, _BOUND_PROBES, generator)
    missed = torch.linalg.vector_norm(test - Q @ (Q.mT @ test), dim=0)
    # Halko et al., equation 4.3.
    residual = 10 * math.sqrt(2 / math.pi) * float(missed.max())
    k = min(rank, len(S))
    outcome: Outcome = "ok" if bool(torch.isfinite(S).all()) else "non_finite"
    products = width * (2 + 2 * power_iterations) + _BOUND_PROBES
    return LowRank((Q @ U)[:, :k], S[:k], Vh[:k].mT, residual, products, outcome)
