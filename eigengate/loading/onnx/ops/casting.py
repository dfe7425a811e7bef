"""Changing element types; floating targets mean the working float type."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Cast", since=6)
def cast(x: Tensor, *, to: torch.dtype, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """The elements in the type ``to``: floats become integers by cutting off their fraction, numbers booleans by ≠ 0.

    ``saturate`` and ``round_mode`` (opsets 19 and 24) concern eight-bit floats only. Between floating types the
    derivative passes as it is; a program of another precision casts to that precision instead.
    """
    return x.to(to)


@operator("CastLike", since=15)
def cast_like(x: Tensor, target: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """The elements of x in the type of the target, as by ``Cast``; nothing else of the target matters."""
    return x.to(target.dtype)
