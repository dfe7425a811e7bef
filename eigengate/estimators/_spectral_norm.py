"""The largest singular value of an operator.

Interval: a bound, not an estimate. Some σ² lies within the residual of the Ritz value, and a random start finds the
outermost first; running out of products is the outcome ``not_converged``, with the bound as wide as it then is.
"""

from dataclasses import dataclass
from typing import final

import torch

from eigengate.contract import Interval, Outcome
from eigengate.estimators._lanczos import lanczos
from eigengate.operators import GramOperator, LinearOperator


@final
@dataclass(frozen=True)
class SpectralNorm:
    """σ_1 with the bound that its residual gives."""

    value: float
    interval: Interval | None
    num_products: int
    outcome: Outcome


def spectral_norm(
    A: LinearOperator, *, tolerance: float, max_products: int, max_basis: int = 64, generator: torch.Generator
) -> SpectralNorm:
    """σ_1(A) by Lanczos on the smaller of A Aᵀ and AᵀA.

    A residual r of the Ritz value σ² bounds the error of σ by r/σ.

    Args:
        A: Operator [rows, columns].
        tolerance: Largest residual accepted, relative to σ².
        max_products: Columns multiplied at most, each once by A and once by Aᵀ.
        max_basis: Columns kept at most.
        generator: Draws the start.
    """
    smaller = A if A.shape[0] <= A.shape[1] else A.adjoint()
    pairs = lanczos(
        GramOperator(smaller), tolerance=tolerance, max_products=max_products, max_basis=max_basis, generator=generator
    )
    energy, residual = float(pairs.largest.values[0]), float(pairs.largest.residuals[0])
    if energy != energy:
        return SpectralNorm(energy, None, pairs.num_products, "non_finite")
    sigma = max(energy, 0.0) ** 0.5
    error = residual / sigma if sigma > 0 else residual**0.5
    interval = Interval(low=sigma - error, high=sigma + error, level=0.95)
    return SpectralNorm(sigma, interval, pairs.num_products, pairs.outcome)
