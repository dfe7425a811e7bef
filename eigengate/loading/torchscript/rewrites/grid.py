"""Values of images and volumes at the points of a grid, with derivatives by both that agree in all modes.

Which point lies between which pixels is piecewise constant; what is differentiated is the share each pixel has.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

_BILINEAR, _NEAREST = 0, 1
_ZEROS, _BORDER = 0, 1
_CUBIC: Final = -0.75
"""The free coefficient of cubic convolution, as PyTorch has it."""

Tap = tuple[Tensor, Tensor]
"""A pixel coordinate along one dimension and its share, [n, …]."""


def _grid_sample(
    input: Tensor, *, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Values of ``input`` [n, c, …] at ``grid`` [n, …, d], coordinates in [−1, 1], that of the last dimension first."""
    sizes = input.shape[2:]
    taps = []
    for dim, size in enumerate(sizes):
        x = _pixels(grid[..., len(sizes) - 1 - dim], size, align_corners)
        bounded = _boundary(padding_mode, size, align_corners)
        if interpolation_mode == _BILINEAR:
            taps.append(_linear(bounded(x)))
        elif interpolation_mode == _NEAREST:
            taps.append(_nearest(bounded(x)))
        else:
            # Cubic shares are those of where the point was; only the pixels it takes are brought inside.
            taps.append([(bounded(place), share) for place, share in _cubic(x)])
    return _weighted(input, taps)


def _boundary(padding_mode: int, size: int, align_corners: bool) -> Callable[[Tensor], Tensor]:
    """What is done with coordinates outside."""
    if padding_mode == _ZEROS:
        return lambda x: x
    if padding_mode == _BORDER:
        return lambda x: x.clamp(0, size - 1)
    return lambda x: _reflected(x, size, align_corners).clamp(0, size - 1)


def _weighted(input: Tensor, taps: Sequence[Sequence[Tap]]) -> Tensor:
    """Σ over all combinations of taps of the pixel there times the product of its shares."""
    total: Tensor | None = None
    for combination in itertools.product(*taps):
        share = math.prod((share for _, share in combination), start=torch.ones_like(combination[0][1]))
        part = _pick(input, [place for place, _ in combination]) * share.unsqueeze(1)
        total = part if total is None else total + part
    assert total is not None, "a grid has at least one dimension"
    return total


def _pixels(coordinate: Tensor, size: int, align_corners: bool) -> Tensor:
    return (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2


def _reflected(x: Tensor, size: int, align_corners: bool) -> Tensor:
    """Coordinates thrown back at the centres of the outermost pixels, or at their outer edges."""
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    if high == low:
        return torch.zeros_like(x)
    distance = (x - low).abs()
    turns = torch.floor(distance / (high - low))
    rest = distance - turns * (high - low)
    return torch.where(turns % 2 == 0, low + rest, high - rest)


def _nearest(x: Tensor) -> list[Tap]:
    return [(x.round(), torch.ones_like(x))]


def _linear(x: Tensor) -> list[Tap]:
    low = x.floor()
    return [(low, 1 - (x - low)), (low + 1, x - low)]


def _cubic(x: Tensor) -> Iterator[Tap]:
    low = x.floor()
    for offset in (-1, 0, 1, 2):
        distance = (x - low - offset).abs()
        near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance.square() + 1
        far = ((_CUBIC * distance - 5 * _CUBIC) * distance + 8 * _CUBIC) * distance - 4 * _CUBIC
        yield low + offset, near if offset in (0, 1) else far


def _pick(input: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Pixels [n, c, …] at whole coordinates [n, …] per dimension, zero outside."""
    index, inside = torch.zeros_like(places[0]), torch.ones_like(places[0], dtype=torch.bool)
    for place, size in zip(places, input.shape[2:], strict=True):
        inside = inside & (place >= 0) & (place < size)
        index = index * size + place.clamp(0, size - 1)
    flat = index.long().flatten(1).unsqueeze(1).expand(-1, input.shape[1], -1)
    picked = input.flatten(2).gather(2, flat).reshape(*input.shape[:2], *index.shape[1:])
    return picked * inside.unsqueeze(1).to(picked.dtype)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::grid_sampler": _grid_sample,
    "aten::grid_sampler_2d": _grid_sample,
    "aten::grid_sampler_3d": _grid_sample,
}
