"""Interpolation along one axis: where each new element lies among the old ones, and how much of these it takes.

All of it depends on sizes alone, so that it is computed on the host, by numpy, outside of whatever transform is under
way; nothing here sees the data.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating[Any]]
Positions = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Stretch:
    """An axis of ``size`` elements drawn out, or shrunk, to ``resized``.

    Args:
        scale: What was asked for; ``resized`` has lost the fraction of an element that ``scale`` leaves over.
        start, end: Which part is drawn out, as fractions of the axis (``tf_crop_and_resize``).
    """

    size: int
    resized: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def length(self) -> float:
        """``resized`` before it was rounded."""
        return self.scale * self.size

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost to rounding."""
        return math.isclose(self.length, self.resized, rel_tol=1e-9)

    @property
    def is_identity(self) -> bool:
        return self.size == self.resized and self.is_whole and (self.start, self.end) == (0.0, 1.0)

    def coordinates(self, transformation: str, dtype: type[np.floating[Any]] = np.float64) -> Numbers:
        """Where every new element lies, counted in old elements."""
        return _TRANSFORMATIONS[transformation](self, np.arange(self.resized, dtype=dtype))

    def nearest(self, transformation: str, rounding: str) -> Positions:
        """Which old element every new one copies."""
        if rounding == "simple":
            rounding = "ceil" if self.scale < 1 else "floor"
        # In single precision, as scales are given and as onnxruntime does it: ties fall the same way then.
        rounded = _ROUNDINGS[rounding](self.coordinates(transformation, np.float32)).astype(np.int64)
        return np.minimum(np.maximum(rounded, 0), self.size - 1)

    def repeats(self, transformation: str, rounding: str) -> bool:
        """Whether ``nearest`` repeats every old element ``scale`` times, as can be told without looking."""
        return self.scale >= 1 and self.scale == int(self.scale) and (transformation, rounding) in _REPETITIONS

    def beyond(self, transformation: str) -> NDArray[np.bool_]:
        """Which new elements lie outside of the axis."""
        at = self.coordinates(transformation)
        return (at < 0) | (at > self.size - 1)


@final
@dataclass(frozen=True)
class Filter:
    """How the weight of an old element falls with its distance from the new one, to zero at ``radius``.

    Args:
        antialias: Widen the filter as much as the axis shrinks, so that no old element is passed over.
        exclude_outside: What lies beyond the ends gets no weight; otherwise it counts as the last element.
    """

    weight: Callable[[Numbers], Numbers]
    radius: int
    antialias: bool = False
    exclude_outside: bool = False

    def weights(self, stretch: Stretch, transformation: str) -> Numbers:
        """One row for every new element: its shares of the old ones."""
        at = stretch.coordinates(transformation)[:, None]
        contraction = min(stretch.scale, 1.0) if self.antialias else 1.0
        reach = math.ceil(self.radius / contraction)
        taps = np.floor(at).astype(np.int64) + np.arange(1 - reach, reach + 1)
        shares = self.weight(contraction * (taps - at))
        if self.exclude_outside:
            shares = np.where((taps < 0) | (taps >= stretch.size), 0.0, shares)
        if self.exclude_outside or self.antialias:
            total = shares.sum(1, keepdims=True)
            shares = shares / np.where(total == 0, 1.0, total)
        table = np.zeros((stretch.resized, stretch.size))
        inside = np.minimum(np.maximum(taps, 0), stretch.size - 1)
        np.add.at(table, (np.arange(stretch.resized)[:, None], inside), shares)
        return table


def interpolation(mode: str, a: float = -0.75, *, antialias: bool = False, exclude_outside: bool = False) -> Filter:
    """``linear``, or ``cubic`` after Keys with slope ``a`` at distance one."""
    if mode == "linear":
        return Filter(_hat, 1, antialias, exclude_outside)
    if mode == "cubic":
        return Filter(partial(_keys, a), 2, antialias, exclude_outside)
    raise ValueError(f"unknown interpolation '{mode}'")


def _hat(distance: Numbers) -> Numbers:
    falling: Numbers = np.maximum(1 - np.abs(distance), 0)
    return falling


def _keys(a: float, distance: Numbers) -> Numbers:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


_ROUNDINGS: Mapping[str, Callable[[Numbers], Numbers]] = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}

_REPETITIONS = frozenset(
    {
        ("asymmetric", "floor"),
        ("asymmetric", "simple"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
    }
)


def _half_pixel(axis: Stretch, x: Numbers) -> Numbers:
    return (x + 0.5) / axis.scale - 0.5


def _half_pixel_symmetric(axis: Stretch, x: Numbers) -> Numbers:
    """Keeps the centre of the axis in its place where something was lost to rounding."""
    return _half_pixel(axis, x) + axis.size / 2 * (1 - axis.resized / axis.length)


def _align_corners(axis: Stretch, x: Numbers) -> Numbers:
    # The standard's text can be read either way; its cases count in what was lost to rounding.
    return x * 0 if axis.length == 1 else x * (axis.size - 1) / (axis.length - 1)


def _crop(axis: Stretch, x: Numbers) -> Numbers:
    last = axis.size - 1
    if axis.length == 1:
        return x * 0 + (axis.start + axis.end) * last / 2
    return axis.start * last + x * (axis.end - axis.start) * last / (axis.length - 1)


_TRANSFORMATIONS: Mapping[str, Callable[[Stretch, Numbers], Numbers]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": lambda axis, x: _half_pixel(axis, x) if axis.resized > 1 else x * 0,
    "align_corners": _align_corners,
    "asymmetric": lambda axis, x: x / axis.scale,
    "tf_half_pixel_for_nn": lambda axis, x: (x + 0.5) / axis.scale,
    "tf_crop_and_resize": _crop,
}
