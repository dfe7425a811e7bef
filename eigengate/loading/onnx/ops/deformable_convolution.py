"""Convolution whose kernel points are moved about, and weighed, by further inputs."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._sampling import Taps, linear, sample, zeros_outside
from eigengate.loading.onnx.registry import Ints, operator


@operator("DeformConv", since=19)
def deformable_convolution(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """y(p) = Σₖ wₖ · mₖ(p) · x(p + k + Δₖ(p)) + bias over the points k of the kernel; x interpolated, 0 outside.

    ``offset`` [n, offset_group · points · axes, *output] holds the Δ, ``mask`` [n, offset_group · points, *output] the
    m (default: one); an offset group is a slice of the input channels, as a group is. The rest is as in ``Conv``.
    """
    kernel, output = tuple(weight.shape[2:]), tuple(offset.shape[2:])
    rank, points, n = len(kernel), math.prod(kernel), x.shape[0]
    slices = x.reshape(n * offset_group, -1, *x.shape[2:])
    moves = offset.reshape(n * offset_group, points, rank, *output)
    axes = [
        _taps(moves[:, :, axis] + place, x.shape[2 + axis])
        for axis, place in enumerate(_places(kernel, output, strides, dilations, pads, x))
    ]
    columns = sample(slices, axes)
    if mask is not None:
        columns = columns * mask.reshape(n * offset_group, 1, -1)
    columns = columns.reshape(n, group, -1, math.prod(output))
    y = (weight.reshape(group, weight.shape[0] // group, -1) @ columns).reshape(n, weight.shape[0], *output)
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def _places(
    kernel: Ints, output: Ints, strides: Ints | None, dilations: Ints | None, pads: Ints | None, x: Tensor
) -> Iterator[Tensor]:
    """Along each axis, where the points of the kernel lie before they are moved: [points, *output]."""
    rank = len(kernel)
    for axis in range(rank):
        stride, dilation = (strides or (1,) * rank)[axis], (dilations or (1,) * rank)[axis]
        taps = torch.arange(kernel[axis], device=x.device) * dilation - (pads[axis] if pads else 0)
        starts = torch.arange(output[axis], device=x.device) * stride
        view = [1] * rank
        view[axis] = -1
        whole = taps.reshape(view).expand(kernel).reshape(-1, *[1] * rank) + starts.reshape(view)
        yield whole.to(x.dtype)


def _taps(at: Tensor, size: int) -> Taps:
    return zeros_outside(linear(at.flatten(1)), size, at)
