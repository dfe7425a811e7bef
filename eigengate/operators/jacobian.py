"""Jacobians of the network's outputs over the probe set, as operators."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.loading.autodiff import vjp
from eigengate.operators.differentiation import Function, Mode, columnwise, derivative_mode, push_forward
from eigengate.operators.linear_operator import LinearOperator, Signature
from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject


@final
@dataclass(frozen=True)
class JacobianOperator(LinearOperator):
    """Df(p) of a function of flat vectors; products by forward mode, adjoint products by reverse mode.

    Attributes:
        function: Flat vector [columns] → flat vector [rows].
        primal: Where it is differentiated.
        rows: Length of the function's value.
        mode: How products are made; ``double_backward`` where an operator has no forward-mode rule.
        at_once: Columns multiplied together.
    """

    function: Function
    primal: Float[Tensor, " columns"]
    rows: int
    mode: Mode
    at_once: int = 16

    @classmethod
    def of(cls, function: Function, primal: Tensor) -> "JacobianOperator":
        return cls(function, primal, function(primal).numel(), derivative_mode(function, primal))

    @classmethod
    def of_parameters(cls, subject: Subject) -> "JacobianOperator":
        """G ∈ R^{nC×P}, sample by sample the C rows of G_i = ∂f(x_i)/∂θ."""
        space = ParameterSpace.of(subject.params)

        def outputs(theta: Tensor) -> Tensor:
            return subject.outputs(space.unflatten(theta), subject.x).reshape(-1)

        return cls.of(outputs, space.flatten(subject.params))

    @classmethod
    def of_inputs(cls, subject: Subject) -> "JacobianOperator":
        """The block-diagonal matrix with blocks J_i = ∂f(x_i)/∂x, shape [nC, nd]."""
        shape = subject.x.shape
        return cls.of(
            lambda x: subject.outputs(subject.params, x.reshape(shape)).reshape(-1), subject.x.reshape(-1).clone()
        )

    @property
    def signature(self) -> Signature:
        return Signature(self.rows, self.primal.numel(), self.primal.dtype, self.primal.device)

    def _matmat(self, X: Float[Tensor, "columns k"]) -> Float[Tensor, "rows k"]:
        return columnwise(
            lambda v: push_forward(self.function, self.primal, v, mode=self.mode), X, at_once=self.at_once
        )

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "columns k"]:
        _, pull = vjp(self.function, self.primal)
        return columnwise(pull, Y, at_once=self.at_once)
