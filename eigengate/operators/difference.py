"""One operator less another."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.operators.linear_operator import LinearOperator, Signature


@final
@dataclass(frozen=True)
class DifferenceOperator(LinearOperator):
    """A − B for operators of one shape."""

    minuend: LinearOperator
    subtrahend: LinearOperator

    @property
    def signature(self) -> Signature:
        of = self.minuend.signature
        both = of.is_self_adjoint and self.subtrahend.is_self_adjoint
        return Signature(of.rows, of.columns, of.dtype, of.device, is_self_adjoint=both, precision=of.precision)

    def _matmat(self, X: Float[Tensor, "columns k"]) -> Float[Tensor, "rows k"]:
        return self.minuend @ X - self.subtrahend @ X

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "columns k"]:
        return self.minuend.adjoint() @ Y - self.subtrahend.adjoint() @ Y
