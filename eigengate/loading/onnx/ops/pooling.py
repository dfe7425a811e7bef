"""Pooling over windows and over all of space."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import Window, window
from eigengate.loading.onnx.registry import Ints, Tensors, operator

_AVERAGES: Mapping[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA: Mapping[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MAXIMA_AND_PLACES: Mapping[int, Callable[..., Tensors]] = {
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
    """The largest element of every window over the spatial axes of X [n, c, *spatial]; padding never is.

    The optional second output says where it stands in the flattened X, counted along the last axis first, or along the
    first spatial axis first with ``storage_order`` 1. ``ceil_mode`` also counts a last window that is cut off, unless
    it starts beyond X and the padding before it. Version 10 added ``ceil_mode`` and ``dilations``, 12 integers.
    """
    spatial = tuple(x.shape[2:])
    sizes = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    numbers = x if x.is_floating_point() else x.float()  # eight bits fit
    padding, ceiling = sizes.befores, bool(ceil_mode)
    if not sizes.is_torch_pool:
        sizes = sizes.rounded_up(spatial) if ceiling else sizes
        numbers, padding, ceiling = sizes.pad(numbers, -math.inf), (0,) * len(spatial), False
    geometry = (sizes.kernel, sizes.strides, padding, sizes.dilations, ceiling)
    if outputs == 1:
        return (_MAXIMA[len(spatial)](numbers, *geometry).to(x.dtype),)
    values, places = _MAXIMA_AND_PLACES[len(spatial)](numbers, *geometry)
    shifts = tuple(before - known for before, known in zip(sizes.befores, padding, strict=True))
    return values.to(x.dtype), _places_in_all(places, tuple(numbers.shape[2:]), shifts, x, storage_order)


def _places_in_all(places: Tensor, padded: Ints, shifts: Ints, x: Tensor, storage_order: int) -> Tensor:
    """Places in one plane, which was padded by ``shifts``, as places in the whole flattened input."""
    spatial = tuple(x.shape[2:])
    if padded != spatial or storage_order:
        coordinates = []
        for size, shift in zip(reversed(padded), reversed(shifts), strict=True):
            coordinates.append(places % size - shift)
            places = torch.div(places, size, rounding_mode="floor")
        axes = list(zip(reversed(coordinates), spatial, strict=True))
        places = torch.zeros_like(places)
        for coordinate, size in reversed(axes) if storage_order else axes:
            places = places * size + coordinate
    planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * math.prod(spatial)
    return places + planes.reshape(*x.shape[:2], *[1] * len(spatial))


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
    """The mean of every window over the spatial axes of X [n, c, *spatial], padding not counted by default.

    ``count_include_pad`` counts it as zeros, but not what a window that ``ceil_mode`` adds has beyond it. Version 10
    added ``ceil_mode``, 19 ``dilations``.
    """
    spatial = tuple(x.shape[2:])
    declared = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    ceiling = bool(ceil_mode)
    if declared.is_torch_pool and set(declared.dilations) == {1}:
        pool = _AVERAGES[len(spatial)]
        return pool(x, declared.kernel, declared.strides, declared.befores, ceiling, bool(count_include_pad))
    sizes = declared.rounded_up(spatial) if ceiling else declared
    means = _window_means(sizes.pad(x, 0.0), sizes)
    if not any(sizes.pads) or (count_include_pad and sizes == declared):
        return means
    return means / _window_means(_counted(x, declared, sizes, bool(count_include_pad)), sizes)


def _counted(x: Tensor, declared: Window, sizes: Window, with_padding: bool) -> Tensor:
    """Ones where the padded input has elements that a mean counts, zeros elsewhere."""
    ones = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if not with_padding:
        return sizes.pad(ones, 0.0)
    beyond = tuple(after - known for after, known in zip(sizes.afters, declared.afters, strict=True))
    added = Window(sizes.kernel, sizes.strides, sizes.dilations, (*[0] * len(beyond), *beyond))
    return added.pad(declared.pad(ones, 1.0), 0.0)


def _window_means(x: Tensor, sizes: Window) -> Tensor:
    """Means over windows of an input that is padded already."""
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
    """(Σ|x|ᵖ)^(1/p) over every window over the spatial axes of X [n, c, *spatial].

    Version 18 added ``ceil_mode`` and ``dilations``. Windows of zeros have derivative zero.
    """
    spatial = tuple(x.shape[2:])
    sizes = window(spatial, kernel_shape, strides, dilations, pads, auto_pad)
    sizes = sizes.rounded_up(spatial) if ceil_mode else sizes
    powers = x * x if p == 2 else torch.abs(x) ** p
    sums = _window_means(sizes.pad(powers, 0.0), sizes) * math.prod(kernel_shape)
    nothing = sums == 0  # where the root has no derivative
    return torch.where(nothing, sums, torch.where(nothing, torch.ones_like(sums), sums) ** (1 / p))


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """The mean over all spatial axes of X [n, c, *spatial], kept with size one."""
    return torch.mean(x, tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """The largest element over all spatial axes of X [n, c, *spatial], kept with size one."""
    # Of equal ones the derivative is that of one, as in torch's own pools: amax would share it out among them.
    return torch.max(x.flatten(2), -1).values.reshape(*x.shape[:2], *[1] * (x.ndim - 2))


@operator("GlobalLpPool", since=2)
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """(Σ|x|ᵖ)^(1/p) over all spatial axes of X [n, c, *spatial], kept with size one."""
    norm: Tensor = torch.linalg.vector_norm(x, p, tuple(range(2, x.ndim)), keepdim=True)
    return norm
