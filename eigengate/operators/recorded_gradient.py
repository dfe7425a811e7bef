"""A gradient whose computation was recorded once, to be differentiated in many directions."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.differentiation import MISSING_RULE
from eigengate.operators.second_order import SecondOrder
from eigengate.refused_allocation import let_refused_allocations_through

# Up to here a product is mostly overhead of its operators, which directions under vmap share; beyond, vmap is slower.
_SHARED_OVERHEAD: Final = 20_000


@final
@dataclass(frozen=True)
class RecordedGradient:
    """g(θ) = ∇ total(θ) with its graph: a derivative of g costs two gradients and no forward pass.

    The graph keeps the intermediate values of the forward and of the backward pass as long as this object lives.

    Attributes:
        theta: The leaf [P] that the graph starts at.
        gradient: g [P], as the graph's result.
    """

    theta: Float[Tensor, " P"]
    gradient: Float[Tensor, " P"]

    @classmethod
    def of(cls, total: Callable[[Tensor], Tensor], theta: Float[Tensor, " P"]) -> "RecordedGradient":
        """Records the gradient of a scalar function."""
        with torch.enable_grad():
            leaf = theta.detach().clone().requires_grad_()
            with nullcontext() if _is_small(leaf) else SecondOrder():
                value = total(leaf)
            if not value.requires_grad:
                return cls(leaf, torch.zeros_like(theta))
            (gradient,) = torch.autograd.grad(value, leaf, create_graph=True, materialize_grads=True)
        return cls(leaf, gradient)

    def derivative(self, X: Float[Tensor, "P k"], *, at_once: int) -> Float[Tensor, "P k"]:
        """Dg·X, which is symmetric; ``at_once`` columns together where that is quicker and no operator forbids it."""
        if not self.gradient.requires_grad:
            return torch.zeros_like(X)
        if X.shape[1] > 1 and _is_small(self.theta):
            try:
                firsts = range(0, X.shape[1], at_once)
                return torch.cat([self._together(X[:, first : first + at_once]) for first in firsts], dim=1)
            except MISSING_RULE as error:
                let_refused_allocations_through(error)
        return torch.stack([self._pulled(column, batched=False) for column in X.unbind(1)], dim=1)

    def _together(self, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        return self._pulled(X.mT, batched=True).mT

    def _pulled(self, cotangents: Tensor, *, batched: bool) -> Tensor:
        (pulled,) = torch.autograd.grad(
            self.gradient,
            self.theta,
            grad_outputs=cotangents,
            retain_graph=True,
            is_grads_batched=batched,
            materialize_grads=True,
        )
        return pulled.detach()


def _is_small(theta: Tensor) -> bool:
    return len(theta) <= _SHARED_OVERHEAD
