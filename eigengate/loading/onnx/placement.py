"""Where a program's constants live and in which floating point type it works."""

from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

_INDEX_DTYPES = (torch.int32, torch.int64)


@final
@dataclass(frozen=True)
class Placement:
    """A device and a working float type; without the latter every value keeps the type the model declares."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    floating: torch.dtype | None = None

    def dtype(self, declared: torch.dtype) -> torch.dtype:
        """The dtype that stands for a declared one, in casts and creations too."""
        return self.floating if self.floating is not None and declared.is_floating_point else declared

    def place(self, tensor: Tensor) -> Tensor:
        """A constant in its working type, on the device.

        Integer vectors are shapes and axes far more often than data: they stay on the host, where reading them does
        not wait for the device, and follow an operand to the device when they meet one there.
        """
        if tensor.dtype in _INDEX_DTYPES and tensor.ndim <= 1:
            return tensor
        return tensor.to(device=self.device, dtype=self.dtype(tensor.dtype))

    def meet(self, values: list[Any]) -> list[Any]:
        """Bring the tensors among the operands together on the device if any of them is there already."""
        tensors = [value for value in values if isinstance(value, Tensor)]
        if all(tensor.device.type == "cpu" for tensor in tensors):
            return values
        return [value.to(self.device) if isinstance(value, Tensor) else value for value in values]
