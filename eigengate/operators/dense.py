"""A matrix held in memory, as an operator."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.operators.linear_operator import LinearOperator, Signature


@final
@dataclass(frozen=True)
class DenseOperator(LinearOperator):
    """The operator of a given matrix; the caller vouches for the promises."""

    matrix: Float[Tensor, "rows columns"]
    self_adjoint: bool = False
    psd: bool = False

    @property
    def signature(self) -> Signature:
        rows, columns = self.matrix.shape
        promised = self.self_adjoint or self.psd
        return Signature(rows, columns, self.matrix.dtype, self.matrix.device, promised, self.psd)

    def _matmat(self, X: Float[Tensor, "columns k"]) -> Float[Tensor, "rows k"]:
        return self.matrix @ X

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "columns k"]:
        return self.matrix.mT @ Y
