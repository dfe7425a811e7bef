"""The loss Hessian as an operator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.errors import NotDifferentiableError
from eigengate.operators.differentiation import MISSING_RULE, columnwise, push_forward
from eigengate.operators.gradient_difference import difference_error, difference_quotient
from eigengate.operators.linear_operator import LinearOperator, Signature
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.recorded_gradient import RecordedGradient
from eigengate.operators.subject import Subject
from eigengate.refused_allocation import let_refused_allocations_through

# In gradients, on CPU: two for double backward of a recorded gradient, three and a half for forward over reverse, which
# makes the gradient anew; differences are two, and not exact.
Products = Literal["double_backward", "forward", "difference"]
_PRODUCTS: Final[Mapping[Products, str]] = {
    "double_backward": "double backward",
    "forward": "forward over reverse",
    "difference": "central differences of the gradient",
}


@final
@dataclass(frozen=True)
class HessianOperator(LinearOperator):
    """H = ∇²_θ (1/n) Σ ℓ(f(x_i), y_i); every sample weighs 1/n, however the probe set is split into batches.

    A product is the derivative of the gradient in a direction: by double backward of a gradient recorded once, forward
    over reverse where an operator's backward pass has no derivative, by differences where it has no forward-mode rule
    either.

    Example: for f = Wx and squared error, H = 2 I ⊗ XᵀX / n.

    Attributes:
        subject: The network on its probe set.
        batches: Row indices, together the whole probe set.
        mode: How products are made.
        at_once: Columns multiplied together.
        product_error: Relative error of a product; None for the rounding of the dtype.
    """

    subject: Subject
    batches: tuple[Tensor, ...]
    mode: Products
    at_once: int = 16
    product_error: float | None = None

    @classmethod
    def of(cls, subject: Subject, batches: tuple[Tensor, ...] | None = None) -> "HessianOperator":
        """The Hessian of the mean loss, of the whole probe set in one batch unless told otherwise.

        Raises:
            NotDifferentiableError: not even the gradient can be computed.
        """
        batches = batches or (torch.arange(subject.n, device=subject.x.device),)
        first = (batches[0][:1],)
        for mode in ("double_backward", "forward"):
            operator = cls(subject, first, mode)
            try:
                operator @ torch.zeros(operator.shape[1], dtype=operator.dtype, device=operator.device)
            except MISSING_RULE as error:
                let_refused_allocations_through(error)
                continue
            return replace(operator, batches=batches)
        return cls._by_differences(subject, batches)

    @classmethod
    def _by_differences(cls, subject: Subject, batches: tuple[Tensor, ...]) -> "HessianOperator":
        operator = cls(subject, batches, "difference")
        try:
            error = difference_error(lambda theta: operator._gradient(batches[0])(theta), operator._theta)
        except MISSING_RULE as reason:
            let_refused_allocations_through(reason)
            raise NotDifferentiableError(
                f"no gradient: {str(reason).splitlines()[0][:300]}",
                hint="leave the quantities that need it out of `quantities`",
            ) from reason
        return replace(operator, product_error=error)

    @property
    def space(self) -> ParameterSpace:
        return ParameterSpace.of(self.subject.params)

    @property
    def signature(self) -> Signature:
        P, of = self.space.dimension, self.subject
        how, error = _PRODUCTS[self.mode], self.product_error
        return Signature(P, P, of.dtype, of.x.device, is_self_adjoint=True, precision=error, products=how)

    @property
    def gradient(self) -> Float[Tensor, " P"]:
        """∇_θ of the mean loss."""
        if self.mode == "double_backward":
            parts = [self._recorded(rows).gradient.detach() for rows in self.batches]
        else:
            parts = [self._gradient(rows)(self._theta).detach() for rows in self.batches]
        return torch.stack(parts).sum(dim=0) / self.subject.n

    def _matmat(self, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        total = torch.zeros_like(X)
        for rows in self.batches:
            total += self._batch_product(rows, X)
        return total / self.subject.n

    def _adjoint_matmat(self, Y: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        return self._matmat(Y)

    def _batch_product(self, rows: Tensor, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        """n times the rows' share of H X."""
        if self.mode == "double_backward":
            return self._recorded(rows).derivative(X, at_once=self.at_once)
        gradient, theta = self._gradient(rows), self._theta
        if self.mode == "difference":
            return torch.stack([difference_quotient(gradient, theta, v) for v in X.unbind(1)], dim=1)
        return columnwise(lambda v: push_forward(gradient, theta, v, mode="forward"), X, at_once=self.at_once)

    @cached_property
    def _theta(self) -> Float[Tensor, " P"]:
        return self.space.flatten(self.subject.params).detach()

    def _recorded(self, rows: Tensor) -> RecordedGradient:
        # Batches are as large as memory allows: of several, no graph can be kept.
        return self._recorded_once if len(self.batches) == 1 else RecordedGradient.of(self._total(rows), self._theta)

    @cached_property
    def _recorded_once(self) -> RecordedGradient:
        return RecordedGradient.of(self._total(self.batches[0]), self._theta)

    def _gradient(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """θ ↦ ∇_θ Σ ℓ(f(x_i), y_i) over the given rows."""
        return torch.func.grad(self._total(rows))

    def _total(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """θ ↦ Σ ℓ(f(x_i), y_i) over the given rows of the probe set."""
        subject, space = self.subject, self.space
        outputs, x, y = subject.outputs_of(rows), subject.x[rows], subject.y[rows]
        return lambda theta: subject.loss.per_sample(outputs(space.unflatten(theta), x), y).sum()
