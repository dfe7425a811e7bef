"""What a matrix is to us: a shape and a product."""

import abc
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

_MATERIALIZED_AT_ONCE: Final = 64


@final
@dataclass(frozen=True)
class Signature:
    """Shape, dtype and device of an operator, and what it promises; promises are not checked at run time.

    ``precision`` is the relative error of a product where it is not the rounding of the dtype; ``products`` says how
    they are made, for reports.
    """

    rows: int
    columns: int
    dtype: torch.dtype
    device: torch.device
    is_self_adjoint: bool = False
    is_psd: bool = False
    precision: float | None = None
    products: str = ""


class LinearOperator(abc.ABC):
    """A real matrix A known through the products A X and Aᵀ Y, on flat vectors only."""

    @property
    @abc.abstractmethod
    def signature(self) -> Signature:
        """Shape, dtype, device and promises."""

    @abc.abstractmethod
    def _matmat(self, X: Float[Tensor, "columns k"]) -> Float[Tensor, "rows k"]:
        """A X."""

    @abc.abstractmethod
    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "columns k"]:
        """Aᵀ Y."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.signature.rows, self.signature.columns

    @property
    def dtype(self) -> torch.dtype:
        return self.signature.dtype

    @property
    def device(self) -> torch.device:
        return self.signature.device

    @property
    def is_self_adjoint(self) -> bool:
        return self.signature.is_self_adjoint

    @property
    def is_psd(self) -> bool:
        return self.signature.is_psd

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x for a vector [columns], or A X for a matrix [columns, k].

        Raises:
            ValueError: the operand does not fit.
        """
        if x.ndim not in (1, 2) or x.shape[0] != self.shape[1]:
            raise ValueError(f"an operator of shape {self.shape} cannot multiply a tensor of shape {tuple(x.shape)}")
        return self._matmat(x.unsqueeze(1)).squeeze(1) if x.ndim == 1 else self._matmat(x)

    def adjoint(self) -> "LinearOperator":
        """Aᵀ."""
        return self if self.is_self_adjoint else AdjointOperator(self)

    def materialize(self) -> Float[Tensor, "rows columns"]:
        """The dense matrix, a few columns at a time."""
        columns = self.shape[1]
        parts = []
        for first in range(0, columns, _MATERIALIZED_AT_ONCE):
            count = min(_MATERIALIZED_AT_ONCE, columns - first)
            basis = torch.zeros(columns, count, dtype=self.dtype, device=self.device)
            basis[first : first + count] = torch.eye(count, dtype=self.dtype, device=self.device)
            parts.append(self._matmat(basis))
        return torch.cat(parts, dim=1) if parts else torch.zeros(self.shape, dtype=self.dtype, device=self.device)


@final
@dataclass(frozen=True)
class AdjointOperator(LinearOperator):
    """Aᵀ of an operator A that is not self-adjoint."""

    operator: LinearOperator

    @property
    def signature(self) -> Signature:
        of = self.operator.signature
        return Signature(of.columns, of.rows, of.dtype, of.device, of.is_self_adjoint, of.is_psd)

    def _matmat(self, X: Float[Tensor, "columns k"]) -> Float[Tensor, "rows k"]:
        return self.operator._adjoint_matmat(X)

    def _adjoint_matmat(self, Y: Float[Tensor, "rows k"]) -> Float[Tensor, "columns k"]:
        return self.operator._matmat(Y)

    def adjoint(self) -> LinearOperator:
        return self.operator
