"""Changing element types; floating targets mean the working float type."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Cast", since=6)
def cast(x: Tensor, *, to: torch.dtype, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(to)


@operator("CastLike", since=15)
def cast_like(x: Tensor, target: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(target.dtype)
