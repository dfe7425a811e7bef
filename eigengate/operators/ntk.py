"""The neural tangent kernel as an operator."""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from eigengate.operators.jacobian import JacobianOperator
from eigengate.operators.linear_operator import LinearOperator, Signature
from eigengate.operators.subject import Subject


@final
@dataclass(frozen=True)
class NTKOperator(LinearOperator):
    """Θ = G Gᵀ ∈ R^{nC×nC} over all outputs of all probe samples, without forming G."""

    jacobian: JacobianOperator

    @classmethod
    def of(cls, subject: Subject) -> "NTKOperator":
        return cls(JacobianOperator.of_parameters(subject))

    @property
    def signature(self) -> Signature:
        of = self.jacobian.signature
        return Signature(of.rows, of.rows, of.dtype, of.device, is_self_adjoint=True, is_psd=True)

    def _matmat(self, X: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        return self.jacobian @ (self.jacobian.adjoint() @ X)

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        return self._matmat(Y)
