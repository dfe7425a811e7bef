"""Between real numbers and the integers that stand for them: x ≈ (q − zero point) · scale."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._quantized import saturated, spread
from eigengate.loading.onnx.registry import Smoothness, Tensors, operator


@operator("QuantizeLinear", since=10, smoothness=Smoothness.NONE)
def quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: torch.dtype | None = None,
    precision: torch.dtype | None = None,
    saturate: int = 1,
) -> Tensor:
    """q = saturate(round(x / scale) + zero_point), halves rounded to the even number.

    One scale for all, since opset 13 one for each index along ``axis``, since 21 one for each block of ``block_size``
    along it. The result has the type of the zero point, else ``output_dtype``, else uint8. x is divided in the type
    of the scale or in ``precision`` (opset 23). ``saturate`` concerns eight-bit floats only.
    """
    dtype = zero_point.dtype if zero_point is not None else output_dtype or torch.uint8
    precision = precision or (scale.dtype if scale.is_floating_point() else torch.float32)
    steps = x.to(precision) / spread(scale.to(precision), x, axis, block_size)
    offset = None if zero_point is None else spread(zero_point, x, axis, block_size)
    return saturated(steps, offset, dtype)


@operator("DequantizeLinear", since=10)
def dequantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: torch.dtype | None = None,
) -> Tensor:
    """y = (x − zero_point) · scale, of integers.

    One scale for all, since opset 13 one for each index along ``axis``, since 21 one for each block of ``block_size``
    along it. The result has the type of the scale, or ``output_dtype`` (opset 23). Only the scale has a derivative.
    """
    dtype = output_dtype or scale.dtype
    wide = torch.promote_types(dtype, torch.float32)
    steps = x.to(torch.int64)
    if zero_point is not None:
        steps = steps - spread(zero_point, x, axis, block_size).to(torch.int64)
    return (steps.to(wide) * spread(scale, x, axis, block_size).to(wide)).to(dtype)


@operator("DynamicQuantizeLinear", since=11)
def quantize_dynamically(x: Tensor) -> Tensors:
    """x as uint8, with the scale (max(x, 0) − min(x, 0)) / 255 and the zero point that map its range onto 0 … 255.

    The integers are piecewise constant; the scale, 1 if x is all zeros, has the derivative of the extrema.
    """
    lowest, highest = torch.clamp(torch.amin(x), max=0), torch.clamp(torch.amax(x), min=0)
    span = highest - lowest
    scale = torch.where(span == 0, torch.ones_like(span), span / 255)
    zero_point = torch.clamp(torch.round(-lowest / scale), 0, 255)
    return saturated(x / scale, zero_point, torch.uint8), scale, zero_point.to(torch.uint8)
