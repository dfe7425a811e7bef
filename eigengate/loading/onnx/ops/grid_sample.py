"""Sampling an image, or anything else on a grid, at given positions."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._sampling import LOCATE, Taps, reflect, sample, zeros_outside
from eigengate.loading.onnx.registry import operator


@operator("GridSample", since=16)
def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    """X [n, c, *spatial] sampled at the positions of grid [n, *output, r], by ``linear``, ``nearest`` or ``cubic``.

    A position (x, y, …) names the last axis first and counts from −1 to 1: between the centres of the outermost
    elements with ``align_corners``, else between their outer edges. Beyond them there are ``zeros``, the ``border``,
    or a ``reflection``. Version 20 added spaces other than the plane and dropped the ``bi`` of the modes' names.
    """
    # Integers lose nothing in double precision, and half precision is too coarse for positions.
    exact = torch.promote_types(x.dtype, grid.dtype) if x.is_floating_point() else torch.float64
    working = torch.promote_types(exact, torch.float32)
    positions = grid.to(working).flatten(1, -2)
    axes = [
        _taps(positions[..., -1 - axis], size, mode.removeprefix("bi"), padding_mode, bool(align_corners))
        for axis, size in enumerate(x.shape[2:])
    ]
    y = sample(x.to(working), axes).reshape(*x.shape[:2], *grid.shape[1:-1])
    return y.to(x.dtype)


def _taps(position: Tensor, size: int, mode: str, padding: str, align_corners: bool) -> Taps:
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    at = (position + 1) / 2 * (high - low) + low
    at = torch.round(at) if mode == "nearest" else at
    if padding == "zeros":
        return zeros_outside(LOCATE[mode](at), size, at)
    if padding == "border":
        # Further out than any tap reaches nothing changes any more.
        taps = LOCATE[mode](torch.clamp(at, -2, size + 1))
        return [(torch.clamp(point, 0, size - 1), weight) for point, weight in taps]
    taps = LOCATE[mode](torch.where((at < low) | (at > high), reflect(at, low, high), at))
    return [(_reflected(point, size, low, high), weight) for point, weight in taps]


def _reflected(point: Tensor, size: int, low: float, high: float) -> Tensor:
    return torch.clamp(reflect(point.to(torch.float64), low, high).to(torch.int64), 0, size - 1)
