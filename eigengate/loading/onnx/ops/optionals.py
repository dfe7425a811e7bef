"""Optional values: the value itself, or ``None`` where there is none."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Smoothness, TensorList, operator


@operator("Optional", since=15)
def optional(value: Tensor | TensorList | None = None, *, type: str = "") -> Tensor | TensorList | None:
    """The operand as an optional value; without one, the empty optional of the given ``type``."""
    return value


@operator("OptionalHasElement", since=15, smoothness=Smoothness.NONE)
def optional_has_element(value: Tensor | TensorList | None = None) -> Tensor:
    """Whether there is a value; from version 18 on plain tensors and sequences may be asked too, and have one."""
    return torch.tensor(value is not None)


@operator("OptionalGetElement", since=15)
def optional_get_element(value: Tensor | TensorList) -> Tensor | TensorList:
    """The value of an optional that has one; from version 18 on a plain tensor or sequence is its own."""
    if value is None:
        raise ValueError("the optional is empty")
    return value
