"""The loss Hessian as an operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.differentiation import Mode, columnwise, derivative_mode, push_forward
from eigengate.operators.linear_operator import LinearOperator, Signature
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject


@final
@dataclass(frozen=True)
class HessianOperator(LinearOperator):
    """H = ∇²_θ (1/n) Σ ℓ(f(x_i), y_i); every sample weighs 1/n, however the probe set is split into batches.

    A product is the derivative of the gradient in a direction: forward over reverse, or double backward where an
    operator has no forward-mode rule.

    Example: for f = Wx and squared error, H = 2 I ⊗ XᵀX / n.

    Attributes:
        subject: The network on its probe set.
        batches: Row indices, together the whole probe set.
        mode: How products are made.
        at_once: Columns multiplied together.
    """

    subject: Subject
    batches: tuple[Tensor, ...]
    mode: Mode
    at_once: int = 16

    @classmethod
    def of(cls, subject: Subject, batches: tuple[Tensor, ...] | None = None) -> "HessianOperator":
        """The Hessian of the mean loss, of the whole probe set in one batch unless told otherwise."""
        batches = batches or (torch.arange(subject.n, device=subject.x.device),)
        space = ParameterSpace.of(subject.params)
        gradient = batch_gradient(subject, space, batches[0][:1])
        return cls(subject, batches, derivative_mode(gradient, space.flatten(subject.params)))

    @property
    def space(self) -> ParameterSpace:
        return ParameterSpace.of(self.subject.params)

    @property
    def signature(self) -> Signature:
        P = self.space.dimension
        return Signature(P, P, self.subject.dtype, self.subject.x.device, is_self_adjoint=True)

    def _matmat(self, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        space = self.space
        theta = space.flatten(self.subject.params)
        total = torch.zeros_like(X)
        for rows in self.batches:
            gradient = batch_gradient(self.subject, space, rows)
            total += columnwise(_push(gradient, theta, self.mode), X, at_once=self.at_once)
        return total / self.subject.n

    def _adjoint_matmat(self, Y: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        return self._matmat(Y)


def batch_gradient(subject: Subject, space: ParameterSpace, rows: Tensor) -> Callable[[Tensor], Tensor]:
    """θ ↦ ∇_θ Σ ℓ(f(x_i), y_i) over the given rows of the probe set, flat to flat."""
    outputs, x, y = subject.outputs_of(rows), subject.x[rows], subject.y[rows]

    def total(theta: Tensor) -> Tensor:
        return subject.loss.per_sample(outputs(space.unflatten(theta), x), y).sum()

    return torch.func.grad(total)


def _push(gradient: Callable[[Tensor], Tensor], theta: Tensor, mode: Mode) -> Callable[[Tensor], Tensor]:
    return lambda v: push_forward(gradient, theta, v, mode=mode)
