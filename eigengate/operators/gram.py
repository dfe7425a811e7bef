"""The Gram matrix of an operator's rows, as an operator."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.operators.linear_operator import LinearOperator, Signature


@final
@dataclass(frozen=True)
class GramOperator(LinearOperator):
    """A Aᵀ, whose eigenvalues are the squared singular values of A."""

    operator: LinearOperator

    @property
    def signature(self) -> Signature:
        of = self.operator.signature
        return Signature(of.rows, of.rows, of.dtype, of.device, is_self_adjoint=True, is_psd=True)

    def _matmat(self, X: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        return self.operator @ (self.operator.adjoint() @ X)

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        return self._matmat(Y)
