"""Tensors made from shapes and numbers."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Smoothness, operator

_SHORT = frozenset({torch.float16, torch.bfloat16})


@operator("ConstantOfShape", since=9, smoothness=Smoothness.NONE)
def constant_of_shape(sizes: Ints, *, value: Tensor | None = None, default_type: torch.dtype = torch.float32) -> Tensor:
    """A tensor of the given shape, filled with the single element of ``value``, by default a floating 0.

    ``default_type`` is no attribute of the standard: it brings the working type that stands for float32.
    """
    fill = torch.zeros((), dtype=default_type) if value is None else value
    return fill.reshape(()).expand(sizes)


@operator("Range", since=11, batches=False)
def counted_range(start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: torch.dtype = torch.float32) -> Tensor:
    """y_i = start + i · delta for 0 ≤ i < max(⌈(limit − start) / delta⌉, 0), of scalars.

    Differentiable by start and delta; the limit, which only counts, has the derivative 0. float16 and bfloat16
    (since opset 27) are computed in ``stash_type``.
    """
    wide = stash_type if start.dtype in _SHORT else start.dtype
    first, last, step = (scalar.reshape(()).to(wide) for scalar in (start, limit, delta))
    count = _steps_below((last - first).item(), step.item())
    return (first + torch.arange(count, device=start.device, dtype=wide) * step).to(start.dtype)


def _steps_below(distance: float, step: float) -> int:
    """How many multiples of the step, from zero on, lie before the distance."""
    if isinstance(distance, int) and isinstance(step, int):
        return max(-(-distance // step), 0)
    return max(math.ceil(distance / step), 0)


@operator("EyeLike", since=9, smoothness=Smoothness.NONE)
def identity_like(x: Tensor, *, dtype: torch.dtype | None = None, k: int = 0) -> Tensor:
    """A matrix of the shape of x with ones on the k-th diagonal (above the main one for k > 0), zeros elsewhere.

    It has the type ``dtype``, by default that of x, of which nothing but type and shape matters.
    """
    rows, columns = x.shape
    here = torch.arange(rows, device=x.device).unsqueeze(1) + k
    return (here == torch.arange(columns, device=x.device)).to(dtype or x.dtype)
