"""What all forms of per-sample gradients have in common."""

import abc
from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Form = TypeVar("Form", bound="Gradients")


class Gradients(abc.ABC):
    """∂f_c(x_i)/∂θ_l for n samples, C outputs and one parameter tensor (or a reordering of it), in some form."""

    @property
    @abc.abstractmethod
    def samples(self) -> int:
        """n."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """C."""

    @abc.abstractmethod
    def select(self: Form, rows: Tensor) -> Form:
        """Those of some samples."""

    @abc.abstractmethod
    def dense(self) -> Float[Tensor, "n C P_l"]:
        """Written out."""

    @abc.abstractmethod
    def _products(self: Form, other: Form, dtype: torch.dtype) -> Float[Tensor, "nC mC"]:
        """Products with the gradients of other samples by the same parameter."""

    def products(self: Form, other: Form, dtype: torch.dtype) -> Float[Tensor, "nC mC"]:
        """⟨∂f_c(x_i)/∂θ_l, ∂f_c'(x_j)/∂θ_l⟩, in float64; each partial sum is made in ``dtype``."""
        return self._products(other, dtype).double()

    @abc.abstractmethod
    def multiplications(self, samples: int) -> int:
        """How many the products with as many other samples take."""

    @classmethod
    @abc.abstractmethod
    def joined(cls: type[Form], parts: Sequence[Form]) -> Form | None:
        """The sum of the gradients of several uses of one parameter, None if this form cannot hold it."""
