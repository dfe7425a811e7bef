"""An operator in other units."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.operators.linear_operator import LinearOperator, Signature


@final
@dataclass(frozen=True)
class DiagonalCongruence(LinearOperator):
    """T A T for T = diag(scale): a quadratic form A with its variables measured in units of ``scale``."""

    operator: LinearOperator
    scale: Float[Tensor, " P"]

    @property
    def signature(self) -> Signature:
        return self.operator.signature

    def _matmat(self, X: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        t = self.scale.unsqueeze(1)
        return t * (self.operator @ (t * X))

    def _adjoint_matmat(self, Y: Float[Tensor, "P k"]) -> Float[Tensor, "P k"]:
        t = self.scale.unsqueeze(1)
        return t * (self.operator.adjoint() @ (t * Y))
