"""Convolutions over one, two or three spatial axes."""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import interleaved, window
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
    spatial = tuple(x.shape[2:])
    sizes = window(spatial, tuple(weight.shape[2:]), strides, dilations, pads, "NOTSET")
    rank = len(spatial)
    extra = output_padding or (0,) * rank
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = tuple(size * stride for size, stride in zip(spatial, sizes.strides, strict=True))
    befores, afters = sizes.befores, sizes.afters
    if output_shape is not None:
        full = [
            (size - 1) * stride + extent + more
            for size, stride, extent, more in zip(spatial, sizes.strides, sizes.extents(), extra, strict=True)
        ]
        befores, afters = _shares(full, output_shape[-rank:], auto_pad)
    y = _TRANSPOSED[rank](x, weight, None, sizes.strides, 0, 0, group, sizes.dilations)
    # Padding a transposed convolution crops its output; what output_padding adds lies after the end.
    crops = interleaved(tuple(-b for b in befores), tuple(more - a for more, a in zip(extra, afters, strict=True)))
    y = F.pad(y, crops) if any(crops) else y
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _shares(full: list[int], wanted: Ints, auto_pad: str) -> tuple[Ints, Ints]:
    """How the surplus of the full output over the wanted one is cut from its two ends."""
    totals = [have - want for have, want in zip(full, wanted, strict=True)]
    smaller, larger = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
