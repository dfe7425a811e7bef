"""How far outside the Ritz values an eigenvalue can hide from a Lanczos run that started at random."""

import math
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators.probe_vectors import gaussian
from eigengate.estimators.resampling import LEVEL
from eigengate.operators import LinearOperator

# Times as long as the given start. It costs the start a product at most: Krylov spaces lose a factor of ten in one.
_RANDOM_SHARE: Final = 10.0
# Relative to the largest Ritz value. A random start leaves about 0.03 when its residual is 1e-3.
_ROOM: Final = 0.25
_BISECTIONS: Final = 60
_LARGEST_LOGARITHM: Final = 700.0


@final
@dataclass(frozen=True)
class OuterBounds:
    """Below ``upper``, and above ``lower``, lie all eigenvalues, each with probability (1 + 0.95)/2 over the start.

    The Lanczos polynomial p_k(μ) = Π (μ − θ_j) and a unit eigenvector u of μ satisfy p_k(μ) uᵀq_1 = Π β_j · uᵀq_{k+1},
    and the last factor is at most one. So |uᵀq_1| ≥ ``overlap`` implies |p_k(μ)| ≤ Π β_j / overlap, which bounds μ
    (van Dorsselaer, Hochstenbach & van der Vorst 2000, SIAM J. Matrix Anal. Appl. 22).

    Attributes:
        overlap: What |uᵀq_1| is at least, with that probability.
        log_couplings: Σ ln β_j so far; minus infinity once an invariant subspace was found.
    """

    overlap: float
    log_couplings: float = 0.0
    upper: float = math.inf
    lower: float = -math.inf

    def after(self, theta: Float[Tensor, " k"], coupling: float) -> "OuterBounds":
        """With one step more: the ascending Ritz values of k steps and β_k."""
        if self.log_couplings == -math.inf or not bool(torch.isfinite(theta).all()):
            return self
        log_couplings = self.log_couplings + math.log(coupling) if coupling > 0 else -math.inf
        level = log_couplings - math.log(self.overlap)
        return replace(
            self,
            log_couplings=log_couplings,
            upper=min(self.upper, _crossing(theta, level)),
            lower=max(self.lower, -_crossing(-theta.flip(0), level)),
        )

    def are_close(self, theta: Float[Tensor, " k"], *, above: bool, below: bool) -> bool:
        """Whether there is little room beyond the ends asked for."""
        room = _ROOM * float(theta.abs().max())
        return not (above and self.upper > theta[-1] + room) and not (below and self.lower < theta[0] - room)


def safe_start(
    A: LinearOperator, start: Float[Tensor, " N"] | None, generator: torch.Generator
) -> tuple[Float[Tensor, " N"], float]:
    """A unit vector, random and a little in the direction of ``start``, and what overlap it has with any unit vector u.

    For a random unit vector r, P(|rᵀu| < z/√N) < z √(2/π), and a fixed vector added to it makes that no likelier.
    """
    random = gaussian(A, 1, generator)[:, 0]
    random = random / random.norm()
    share, mixed = 1.0, random
    if start is not None and 0 < float(start.norm()) < math.inf:
        mixed = _RANDOM_SHARE * random + start.to(random) / start.norm()
        share = _RANDOM_SHARE / float(mixed.norm())
    z = (1 - LEVEL) / 2 * math.sqrt(math.pi / 2)
    return mixed / mixed.norm(), share * z / math.sqrt(A.shape[0])


def _crossing(theta: Float[Tensor, " k"], level: float) -> float:
    """The μ ≥ max θ at which Σ ln(μ − θ_j) = level."""
    top = float(theta[-1])
    if level == -math.inf:
        return top
    # There every factor is at least the geometric mean of what the product must be.
    low, high = 0.0, math.exp(min(level / len(theta), _LARGEST_LOGARITHM))
    gaps = top - theta
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if float((middle + gaps).log().sum()) < level:
            low = middle
        else:
            high = middle
    return top + high
