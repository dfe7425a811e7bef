"""The Gauss-Newton part of the loss Hessian as an operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.loading.autodiff import vjp
from eigengate.operators.differentiation import Mode, columnwise, derivative_mode, push_forward
from eigengate.operators.linear_operator import LinearOperator, Signature
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject


@final
@dataclass(frozen=True)
class GaussNewtonOperator(LinearOperator):
    """(1/n) Gᵀ L G, L = blockdiag of ∂²ℓ/∂f²: positive semidefinite, and all of H where f is linear in θ.

    Attributes:
        subject: The network on its probe set.
        batches: Row indices, together the whole probe set.
        mode: How G v is made.
        at_once: Columns multiplied together.
    """

    subject: Subject
    batches: tuple[Tensor, ...]
    mode: Mode
    at_once: int = 16

    @classmethod
    def of(cls, subject: Subject, batches: tuple[Tensor, ...] | None = None) -> "GaussNewtonOperator":
        """The Gauss-Newton matrix of the mean loss, of the whole probe set in one batch unless told otherwise."""
        batches = batches or (torch.arange(subject.n, device=subject.x.device),)
        space = ParameterSpace.of(subject.params)
        outputs = _outputs(subject, space, batches[0][:1])
        return cls(subject, batches, derivative_mode(outputs, space.flatten(subject.params)))

    @property
    def space(self) -> ParameterSpace:
        return ParameterSpace.of(self.subject.params)

    @property
    def signature(self) -> Signature:
        P = self.space.dimension
        return Signature(P, P, self.subject.dtype, self.subject.x.device, is_self_adjoint=True, is_psd=True)

    def _matmat(self, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        total = torch.zeros_like(X)
        for rows in self.batches:
            total += columnwise(self._batch_product(rows), X, at_once=self.at_once)
        return total / self.subject.n

    def _adjoint_matmat(self, Y: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        return self._matmat(Y)

    def _batch_product(self, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """v ↦ Σ G_iᵀ L_i G_i v over the given rows."""
        space = self.space
        theta = space.flatten(self.subject.params)
        outputs = _outputs(self.subject, space, rows)
        f, pull = vjp(outputs, theta)
        f = f.detach().reshape(len(rows), -1)
        L = self.subject.loss.output_hessian(f, self.subject.y[rows])

        def product(v: Tensor) -> Tensor:
            Gv = push_forward(outputs, theta, v, mode=self.mode).reshape_as(f)
            return torch.as_tensor(pull(torch.einsum("icd,id->ic", L, Gv).reshape(-1)))

        return product


def _outputs(subject: Subject, space: ParameterSpace, rows: Tensor) -> Callable[[Tensor], Tensor]:
    function, x = subject.outputs_of(rows), subject.x[rows]
    return lambda theta: function(space.unflatten(theta), x).reshape(-1)
