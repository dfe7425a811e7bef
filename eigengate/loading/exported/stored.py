"""One tensor as an archive stores it: bytes and how to look at them."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.container import Content

_HINT: Final = "Save the program again with torch.export.save."


@final
@dataclass(frozen=True)
class StoredTensor:
    """Bytes of a storage, and the strided view of it that the tensor is; offset and strides count elements.

    Raises:
        ModelLoadError: The view reaches beyond the bytes.
    """

    name: str
    storage: Hashable
    """What the storage is called in its archive; tensors of one storage share their numbers."""
    data: Content
    dtype: torch.dtype
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    is_parameter: bool

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.strides) or min((*self.sizes, *self.strides, self.offset)) < 0:
            raise self._refused("has sizes, strides or an offset that make no sense")
        held = len(self.data) // self.dtype.itemsize
        reach = (
            self.offset + 1 + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))
        )
        if self.count and reach > held:
            raise self._refused(f"reaches to element {reach:,} of a storage that has {held:,}")

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.sizes)

    @property
    def identity(self) -> Hashable:
        """The same for two names of one tensor, as tied weights are."""
        return (self.storage, self.dtype, self.sizes, self.strides, self.offset)

    def tensor(self) -> Tensor:
        """The tensor, in memory of its own."""
        if not self.count:
            return torch.zeros(self.sizes, dtype=self.dtype)
        # A whole number of elements: torch cannot look at others.
        whole = len(self.data) // self.dtype.itemsize * self.dtype.itemsize
        raw = torch.frombuffer(bytearray(self.data[:whole]), dtype=torch.uint8)
        # A byte that is neither 0 nor 1 is no boolean, and kernels may do anything with it.
        numbers = raw != 0 if self.dtype is torch.bool else raw.view(self.dtype)
        return numbers.as_strided(self.sizes, self.strides, self.offset).clone(memory_format=torch.contiguous_format)

    def _refused(self, reason: str) -> ModelLoadError:
        return ModelLoadError(f"tensor {self.name!r} {reason}", hint=_HINT)
