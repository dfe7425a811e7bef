"""The trace that random signs and their products tell, and how surely.

Interval: mean ± t_ν stderr, both from the products and not from the spread of the few quadratic forms. For random signs
z and a self-adjoint R the variance of zᵀRz is 2 Σ_{i≠j} R_ij², and z_i (Rz)_i = R_ii + Σ_{j≠i} R_ij z_i z_j has the
variance Σ_{j≠i} R_ij²: every coordinate is a sample of its own, so that the variance is known from s probe vectors with
about ν = s (tr R²)²/tr R⁴ degrees of freedom where the quadratic forms alone would give Student's s − 1. This variance
is also half as correlated with the trace as theirs is, which is why skewed forms (one large eigenvalue) are covered.
"""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

_ROWS: Final = 2**16


@final
@dataclass(frozen=True)
class TraceMoments:
    """An estimate of a trace, its squared standard error and the degrees of freedom of that."""

    value: float
    variance: float
    degrees_of_freedom: float


def trace_moments(signs: Float[Tensor, "N s"], products: Float[Tensor, "N s"]) -> TraceMoments:
    """tr R of a self-adjoint R from ``products`` = R ``signs``; an infinite variance for one probe vector.

    Args:
        signs: Independent fair signs.
        products: R times each.
    """
    s = signs.shape[1]
    total, gram = 0.0, torch.zeros(s, s, dtype=torch.float64, device=signs.device)
    # In pieces, because a copy of all the columns in float64 can be larger than anything else that is held.
    for Z, Y in zip(torch.split(signs, _ROWS), torch.split(products, _ROWS), strict=True):
        forms = Z.double() * Y.double()
        apart = Y - forms.mean(dim=1, keepdim=True) * Z
        total, gram = total + float(forms.sum()), gram + apart.mT @ apart
    if s < 2:
        return TraceMoments(total, float("inf"), 1.0)
    energy = gram.trace() / (s - 1)
    # Different probe vectors are independent: E (z_iᵀR²z_j)² = tr R⁴.
    fourth = (gram.square().sum() - gram.diagonal().square().sum()) / (s * (s - 1)) * (s / (s - 1)) ** 2
    freedom = float(s * energy.square() / fourth) if float(fourth) > 0 else float("inf")
    return TraceMoments(total / s, float(2 * energy / s), max(freedom, 1.0))
