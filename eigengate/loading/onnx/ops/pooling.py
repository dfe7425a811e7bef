"""Pooling over windows and over all of space."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import Window, window
from eigengate.loading.onnx.registry import Ints, Tensors, operator

_AVERAGES: Mapping[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA: Mapping[int, Callable[..., Tensors]] = {
    1: F.max_pool1d_with_indices,
    2: F.max_pool2d_with_indices,
    3: F.max_pool3d_with_indices,
}


@operator("MaxPool")
def max_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    outputs: int,
) -> Tensors:
    spatial = tuple(x.shape[2:])
    sizes = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    sizes = sizes.rounded_up(spatial) if ceil_mode else sizes
    floating = x if x.is_floating_point() else x.double()
    padded = sizes.pad(floating, -math.inf)
    pooled, positions = _MAXIMA[len(spatial)](padded, sizes.kernel, sizes.strides, 0, sizes.dilations)
    values = pooled.to(x.dtype)
    if outputs == 1:
        return (values,)
    return values, _flat_positions(positions, tuple(padded.shape[2:]), x, sizes, storage_order)


def _flat_positions(positions: Tensor, padded: Ints, x: Tensor, sizes: Window, storage_order: int) -> Tensor:
    """Positions in one padded plane as positions in the whole flattened input."""
    spatial = tuple(x.shape[2:])
    coordinates = []
    for size, before in zip(reversed(padded), reversed(sizes.befores), strict=True):
        coordinates.append(positions % size - before)
        positions = torch.div(positions, size, rounding_mode="floor")
    axes = list(zip(reversed(coordinates), spatial, strict=True))
    flat = torch.zeros_like(positions)
    for coordinate, size in reversed(axes) if storage_order else axes:
        flat = flat * size + coordinate
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(spatial)
    return flat + planes.reshape(*x.shape[:2], *[1] * len(spatial))


@operator("AveragePool", since=7)
def average_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    spatial = tuple(x.shape[2:])
    declared = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    sizes = declared.rounded_up(spatial) if ceil_mode else declared
    sums = _window_means(sizes.pad(x, 0.0), sizes)
    if not any(sizes.pads) or (count_include_pad and sizes == declared):
        return sums
    counted = torch.ones(1, 1, *spatial, dtype=x.dtype, device=x.device)
    if count_include_pad:
        counted = declared.pad(counted, 1.0)
        beyond = tuple(after - known for after, known in zip(sizes.afters, declared.afters, strict=True))
        counted = Window(sizes.kernel, sizes.strides, sizes.dilations, (*[0] * len(spatial), *beyond)).pad(counted, 0.0)
    else:
        counted = sizes.pad(counted, 0.0)
    return sums / _window_means(counted, sizes)


def _window_means(x: Tensor, sizes: Window) -> Tensor:
    if set(sizes.dilations) == {1}:
        return _AVERAGES[len(sizes.kernel)](x, sizes.kernel, sizes.strides)
    for axis, (size, stride, extent, dilation) in enumerate(
        zip(sizes.kernel, sizes.strides, sizes.extents(), sizes.dilations, strict=True), start=2
    ):
        taps = [x.narrow(axis, tap * dilation, x.shape[axis] - extent + 1) for tap in range(size)]
        mean = torch.stack(taps).mean(0)
        x = torch.index_select(mean, axis, torch.arange(0, mean.shape[axis], stride, device=x.device))
    return x


@operator("LpPool", since=2)
def lp_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    spatial = tuple(x.shape[2:])
    sizes = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    sizes = sizes.rounded_up(spatial) if ceil_mode else sizes
    means = _window_means(sizes.pad(torch.abs(x) ** p, 0.0), sizes)
    return (means * math.prod(kernel_shape)) ** (1 / p)


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return torch.mean(x, tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    # The index of the first maximum, as torch's own pools pick it: ties then have one gradient, not shares of it.
    flat = x.flatten(2)
    best = torch.argmax(flat, -1, keepdim=True)
    return torch.gather(flat, -1, best).reshape(*x.shape[:2], *[1] * (x.ndim - 2))


@operator("GlobalLpPool", since=2)
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, p, tuple(range(2, x.ndim)), keepdim=True)
    return norm
