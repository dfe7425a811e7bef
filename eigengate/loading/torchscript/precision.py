"""Where a program computes: its device and, if chosen, the floating point type that replaces every other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.loading.torchscript.scalars import DTYPE_CODES, DTYPES

_COMPLEX_OF: Final = {torch.float64: torch.complex128, torch.float32: torch.complex64, torch.float16: torch.complex32}


@final
@dataclass(frozen=True)
class Precision:
    """A device and a working floating point type; ``dtype`` None leaves every type as the model has it."""

    device: torch.device
    dtype: torch.dtype | None = None

    def code(self, code: int | None) -> int | None:
        """The dtype code a cast inside the graph becomes: floating and complex types follow the working type."""
        if code is None or self.dtype is None or code not in DTYPES:
            return code
        return DTYPE_CODES[self._working(DTYPES[code])]

    def convert(self, value: Any) -> Any:
        """Move tensors, also those inside lists, tuples and dictionaries, to the device and the working type."""
        if isinstance(value, Tensor):
            return value.detach().to(device=self.device, dtype=self._working(value.dtype))
        if isinstance(value, list | tuple):
            return type(value)(self.convert(item) for item in value)
        if isinstance(value, dict):
            return {key: self.convert(item) for key, item in value.items()}
        return value

    def made(self, factory: Callable[..., Tensor], *arguments: Any, **keywords: Any) -> Tensor:
        """Call a tensor factory here; what it would make in PyTorch's default float type comes in the working type."""
        keywords["device"] = self.device
        tensor = factory(*arguments, **keywords)
        working = self._working(tensor.dtype)
        if tensor.dtype == working:
            return tensor
        return factory(*arguments, **(keywords | {"dtype": working}))

    def _working(self, dtype: torch.dtype) -> torch.dtype:
        if self.dtype is None:
            return dtype
        if dtype.is_complex:
            return _COMPLEX_OF.get(self.dtype, dtype)
        return self.dtype if dtype.is_floating_point else dtype
