"""One diagonal block of a matrix that is known through its products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from eigengate.operators.linear_operator import LinearOperator, Signature

# Entries of whole columns held together: what a block needs is small, its columns are as long as the matrix.
_HELD: Final = 2**22


@final
@dataclass(frozen=True)
class DiagonalBlock(LinearOperator):
    """A_ll = P A Pᵀ [m, m] of a self-adjoint A [N, N], where P [m, N] picks the entries at ``positions``.

    A product costs one with A, of a vector that is zero outside the block; what the product holds outside is dropped.
    The precision promised is that of A: its error is taken to be relative to the entries that are kept.

    Attributes:
        operator: A.
        positions: Which rows and columns, each once, in the order they have in the block.
    """

    operator: LinearOperator
    positions: Int64[Tensor, " m"]

    @property
    def signature(self) -> Signature:
        of, m = self.operator.signature, len(self.positions)
        return Signature(m, m, of.dtype, of.device, of.is_self_adjoint, of.is_psd, of.precision, of.products)

    def _matmat(self, X: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        return self._inside(X, self.operator.__matmul__)

    def _adjoint_matmat(self, Y: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        return self._inside(Y, self.operator.adjoint().__matmul__)

    def _inside(self, X: Float[Tensor, "m k"], product: Callable[[Tensor], Tensor]) -> Float[Tensor, "m k"]:
        N = self.operator.shape[0]
        parts = []
        for columns in torch.split(X, max(1, _HELD // N), dim=1):
            whole = columns.new_zeros(N, columns.shape[1]).index_copy(0, self.positions, columns)
            parts.append(product(whole)[self.positions])
        return torch.cat(parts, dim=1)
