"""Convolutions over one, two or three spatial axes."""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import Window, halves, interleaved, window
from eigengate.loading.onnx.registry import Ints, operator

_CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: Mapping[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@operator("Conv")
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """y[o](p) = Σᵢₖ W[o, i, k] · x[i](p · stride + k · dilation − pad) + bias[o] over X [n, c, *spatial], 0 outside.

    W has shape [outputs, c / group, *kernel]: each group of outputs sees its own group of channels. ``auto_pad``
    SAME_UPPER or SAME_LOWER pads so that ⌈size / stride⌉ elements come out, an odd one at the end or at the start.
    """
    sizes = window(tuple(x.shape[2:]), tuple(weight.shape[2:]), strides, dilations, pads, auto_pad)
    convolve = _CONVOLUTIONS[len(sizes.kernel)]
    if sizes.befores == sizes.afters and min(sizes.pads) >= 0:
        return convolve(x, weight, bias, sizes.strides, sizes.befores, sizes.dilations, group)
    return convolve(sizes.pad(x, 0.0), weight, bias, sizes.strides, 0, sizes.dilations, group)


@operator("ConvTranspose")
def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """The adjoint of ``Conv`` by X, plus bias: y[o](p · stride + k · dilation − pad) gathers W[i, o, k] · x[i](p).

    W has shape [c, outputs / group, *kernel]. Along an axis (n − 1) · stride + extent + output_padding − pads elements
    come out; or ``output_shape``, or n · stride with ``auto_pad`` SAME, the pads being shared out from the rest: of an
    odd one the start gets more, except with SAME_UPPER. What ``output_padding`` adds lies at the end.
    """
    spatial = tuple(x.shape[2:])
    rank = len(spatial)
    declared = window(spatial, tuple(weight.shape[2:]), strides, dilations, pads, "NOTSET")
    extra = output_padding or (0,) * rank
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = tuple(size * stride for size, stride in zip(spatial, declared.strides, strict=True))
    befores, afters = declared.befores, declared.afters
    if output_shape is not None:
        whole = _whole(spatial, declared, extra)
        totals = [size - wanted for size, wanted in zip(whole, output_shape[-rank:], strict=True)]
        befores, afters = halves(totals, upper=auto_pad == "SAME_UPPER")
    surplus = tuple(more + before - after for more, before, after in zip(extra, befores, afters, strict=True))
    transpose = _TRANSPOSED[rank]
    if _torch_crops(befores, surplus, declared):
        return transpose(x, weight, bias, declared.strides, befores, surplus, group, declared.dilations)
    y = transpose(x, weight, None, declared.strides, 0, 0, group, declared.dilations)
    # Padding a transposed convolution crops its output.
    crops = interleaved(tuple(-b for b in befores), tuple(more - a for more, a in zip(extra, afters, strict=True)))
    y = F.pad(y, crops)
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _whole(spatial: Ints, declared: Window, extra: Ints) -> list[int]:
    """The sizes of the output before anything is cropped."""
    return [
        (size - 1) * stride + extent + more
        for size, stride, extent, more in zip(spatial, declared.strides, declared.extents(), extra, strict=True)
    ]


def _torch_crops(befores: Ints, surplus: Ints, declared: Window) -> bool:
    """Whether torch's padding, the same at both ends, and its output padding at the last one say the same."""
    limits = (max(stride, dilation) for stride, dilation in zip(declared.strides, declared.dilations, strict=True))
    return min(befores) >= 0 and all(0 <= more < limit for more, limit in zip(surplus, limits, strict=True))
