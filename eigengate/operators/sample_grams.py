"""One positive semidefinite matrix per sample, all multiplied at once."""

import abc

import torch
from jaxtyping import Float
from torch import Tensor


class SampleGrams(abc.ABC):
    """A_i = M_i M_iᵀ ∈ R^{C×C} for m samples, M_i a Jacobian of f at x_i, known through products only."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """(m, C)."""

    @property
    @abc.abstractmethod
    def columns(self) -> int:
        """d, how many columns the M_i have."""

    @property
    @abc.abstractmethod
    def dtype(self) -> torch.dtype:
        """The type products are computed in."""

    @abc.abstractmethod
    def products(self, Y: Float[Tensor, "m C b"]) -> Float[Tensor, "m C b"]:
        """A_i Y_i in float64; each of the b columns takes one adjoint product and one product of every M_i."""
