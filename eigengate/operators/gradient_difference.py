"""Derivatives of a gradient by central differences: the last resort, and how far it can be trusted."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Gradient = Callable[[Tensor], Tensor]


def difference_quotient(
    gradient: Gradient, theta: Float[Tensor, " P"], v: Float[Tensor, " P"], *, widening: float = 1.0
) -> Float[Tensor, " P"]:
    """(g(θ + hv) − g(θ − hv)) / 2h with ‖hv‖ = ``widening`` · eps^⅓ ‖θ‖, where truncation and rounding balance."""
    length = float(v.norm())
    if length == 0:
        return torch.zeros_like(v)
    scale = float(theta.norm()) or 1.0
    h: float = widening * torch.finfo(theta.dtype).eps ** (1 / 3) * scale / length
    return (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)


def difference_error(gradient: Gradient, theta: Float[Tensor, " P"]) -> float:
    """How far the quotient along the gradient moves, relative to itself, when the step is doubled.

    Truncation then grows fourfold and rounding halves, so that the move is at least half as large as either. Infinite
    where the quotient is not finite; the dtype's eps where nothing moves.
    """
    eps = torch.finfo(theta.dtype).eps
    direction = gradient(theta)
    once, twice = (difference_quotient(gradient, theta, direction, widening=widening) for widening in (1.0, 2.0))
    if not bool(torch.isfinite(once).all() & torch.isfinite(twice).all()):
        return float("inf")
    length = float(once.norm())
    return max(eps, 2 * float((twice - once).norm()) / length) if length > 0 else eps
