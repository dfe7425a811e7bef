"""Resizing by interpolation. It is linear in the data, axis by axis: new elements are weighted sums of old ones."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._interpolation import Filter, Positions, Stretch, interpolation
from eigengate.loading.onnx.registry import Floats, Ints, operator

# Measured: below so many elements building the weights costs more than torch's own kernels, and along an axis longer
# than this a product with all of them does.
_FEW, _LONG = 4096, 128
_TORCH_MODES: Mapping[int, str] = {3: "linear", 4: "bilinear", 5: "trilinear"}
_CROP = "tf_crop_and_resize"


@operator("Upsample", since=7)
def upsample_by_attribute(x: Tensor, *, scales: Floats, mode: str = "nearest") -> Tensor:
    """X with axis i drawn out to ⌊nᵢ·scalesᵢ⌋ elements, the new element j lying at j/scalesᵢ.

    ``mode`` is ``nearest`` (the element before it) or ``linear``. One scale per axis; since version 9 an input.
    """
    return _resize_asymmetric(x, scales, mode)


@operator("Upsample", since=9)
def upsample(x: Tensor, scales: Floats, *, mode: str = "nearest") -> Tensor:
    """X with axis i drawn out to ⌊nᵢ·scalesᵢ⌋ elements, the new element j lying at j/scalesᵢ.

    ``mode`` is ``nearest`` (the element before it) or ``linear``. One scale per axis. Version 10 calls it ``Resize``.
    """
    return _resize_asymmetric(x, scales, mode)


@operator("Resize", since=10)
def resize_asymmetric(x: Tensor, scales: Floats, *, mode: str = "nearest") -> Tensor:
    """X with axis i resized to ⌊nᵢ·scalesᵢ⌋ elements, the new element j lying at j/scalesᵢ.

    ``mode`` is ``nearest`` (the element before it; the one after it where the axis shrinks, as onnxruntime has it) or
    ``linear``. Since version 11 places and rounding are attributes.
    """
    return _resize_asymmetric(x, scales, mode)


def _resize_asymmetric(x: Tensor, scales: Floats, mode: str) -> Tensor:
    stretches = _by_scales(x, scales)
    if mode == "nearest":
        return _pick(x, stretches, "asymmetric", "simple")
    return _weigh(x, stretches, "asymmetric", interpolation(mode))


@operator("Resize", since=11)
def resize(
    x: Tensor,
    roi: Floats | None = None,
    scales: Floats | None = None,
    sizes: Ints | None = None,
    *,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    """X resized along ``axes`` (default: all) by ``scales`` or to ``sizes``: ``nearest``, ``linear`` or ``cubic``.

    ``coordinate_transformation_mode`` says where the new element j lies among the old ones, such as (j + ½)/scale − ½
    for ``half_pixel``; ``tf_crop_and_resize`` resizes only ``roi`` = [starts, ends], in fractions of the axes, and
    writes ``extrapolation_value`` where that reaches beyond them. Version 18 added ``antialias``, ``axes`` and the
    policy, 19 the transformation ``half_pixel_symmetric``.
    """
    stretches = _stretches(x, scales, sizes, axes, keep_aspect_ratio_policy)
    transformation = coordinate_transformation_mode
    if transformation == _CROP:
        stretches = _cropped(stretches, roi or (), axes)
    if mode == "nearest":
        y = _pick(x, stretches, transformation, nearest_mode)
    else:
        filtering = {"antialias": bool(antialias), "exclude_outside": bool(exclude_outside)}
        y = _weigh(x, stretches, transformation, interpolation(mode, cubic_coeff_a, **filtering))
    return _extrapolate(y, stretches, extrapolation_value) if transformation == _CROP else y


def _stretches(
    x: Tensor, scales: Floats | None, sizes: Ints | None, axes: Ints | None, policy: str
) -> tuple[Stretch, ...]:
    named = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
    if scales:
        given = dict(zip(named, scales, strict=True))
        return _by_scales(x, [given.get(axis, 1.0) for axis in range(x.ndim)])
    wanted = dict(zip(named, sizes or (), strict=True))
    ratios = {axis: size / x.shape[axis] for axis, size in wanted.items()}
    if policy != "stretch":
        common = min(ratios.values()) if policy == "not_larger" else max(ratios.values())
        ratios = dict.fromkeys(ratios, common)
        wanted = {axis: int(common * x.shape[axis] + 0.5) for axis in wanted}
    return tuple(Stretch(size, wanted.get(axis, size), ratios.get(axis, 1.0)) for axis, size in enumerate(x.shape))


def _by_scales(x: Tensor, scales: Sequence[float]) -> tuple[Stretch, ...]:
    # In single precision, as the scales are given: ten elements by 0.7 are seven there.
    lengths = [int(np.float32(size) * np.float32(scale)) for size, scale in zip(x.shape, scales, strict=True)]
    return tuple(Stretch(*each) for each in zip(x.shape, lengths, scales, strict=True))


def _cropped(stretches: Sequence[Stretch], roi: Floats, axes: Ints | None) -> tuple[Stretch, ...]:
    named = range(len(stretches)) if axes is None else [axis % len(stretches) for axis in axes]
    parts = {axis: part for axis, *part in zip(named, roi[: len(named)], roi[len(named) :], strict=True)}
    return tuple(Stretch(s.size, s.resized, s.scale, *parts.get(axis, ())) for axis, s in enumerate(stretches))


def _pick(x: Tensor, stretches: Sequence[Stretch], transformation: str, rounding: str) -> Tensor:
    """Every new element is one of the old ones."""
    moved = {axis: stretch for axis, stretch in enumerate(stretches) if not stretch.is_identity}
    by_torch = _is_spatial(x, stretches, moved)
    if by_torch and all(stretch.repeats(transformation, rounding) for stretch in moved.values()):
        return F.interpolate(x, [stretch.resized for stretch in stretches[2:]], mode="nearest")
    sources = {axis: stretch.nearest(transformation, rounding) for axis, stretch in moved.items()}
    if by_torch and all(np.array_equal(sources[axis], _torch_nearest(stretch)) for axis, stretch in moved.items()):
        return F.interpolate(x, [stretch.resized for stretch in stretches[2:]], mode="nearest")
    for axis, source in sources.items():
        x = torch.index_select(x, axis, torch.from_numpy(source).to(x.device))
    return x


def _torch_nearest(stretch: Stretch) -> Positions:
    """The elements that ``torch.nn.functional.interpolate`` picks."""
    ratio = np.float32(stretch.size) / np.float32(stretch.resized)
    picked: Positions = np.floor(np.arange(stretch.resized, dtype=np.float32) * ratio).astype(np.int64)
    return np.minimum(picked, stretch.size - 1)


def _weigh(x: Tensor, stretches: Sequence[Stretch], transformation: str, weighting: Filter) -> Tensor:
    """Every new element is a weighted sum of old ones; integers are computed in double precision and rounded."""
    moved = {axis: stretch for axis, stretch in enumerate(stretches) if not stretch.is_identity}
    if weighting == interpolation("linear") and _is_spatial(x, stretches, moved) and _favours_torch(x, moved):
        corners = _torch_corners(moved, transformation)
        if corners is not None:
            sizes = [stretch.resized for stretch in stretches[2:]]
            return F.interpolate(x, sizes, mode=_TORCH_MODES[x.ndim], align_corners=corners)
    working = torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else torch.float64
    y = x.to(working)
    for axis in sorted(moved, reverse=True):
        table = torch.from_numpy(weighting.weights(moved[axis], transformation)).to(x.device, working)
        y = _along(axis, table, y)
    return y.to(x.dtype) if x.is_floating_point() else _saturated(y, x.dtype)


def _along(axis: int, table: Tensor, x: Tensor) -> Tensor:
    """The matrix applied to every vector along the axis."""
    if axis == x.ndim - 1:
        return x @ table.T
    return (table @ x.flatten(axis + 1)).reshape(*x.shape[:axis], table.shape[0], *x.shape[axis + 1 :])


def _is_spatial(x: Tensor, stretches: Sequence[Stretch], moved: Mapping[int, Stretch]) -> bool:
    """Whether ``torch.nn.functional.interpolate`` knows the axes that change, and any axis does."""
    filled = x.numel() > 0 and all(stretch.resized > 0 for stretch in stretches)
    return x.is_floating_point() and x.ndim in _TORCH_MODES and filled and bool(moved) and min(moved) >= 2


def _favours_torch(x: Tensor, moved: Mapping[int, Stretch]) -> bool:
    """Whether torch's own kernels, which skip the zeros among the weights, beat a product with all of them."""
    return x.numel() < _FEW or any(stretch.size > _LONG for stretch in moved.values())


def _torch_corners(moved: Mapping[int, Stretch], transformation: str) -> bool | None:
    """What torch calls ``align_corners``, where it places new elements as the transformation does."""
    if not all(stretch.is_whole for stretch in moved.values()):
        return None
    several = all(stretch.resized > 1 for stretch in moved.values())
    half_pixel = transformation == "half_pixel" or (transformation == "pytorch_half_pixel" and several)
    return transformation == "align_corners" if half_pixel or transformation == "align_corners" else None


def _saturated(y: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bool:
        return y.to(dtype)
    return torch.clamp(torch.round(y), torch.iinfo(dtype).min, torch.iinfo(dtype).max).to(dtype)


def _extrapolate(y: Tensor, stretches: Sequence[Stretch], value: float) -> Tensor:
    """The resized crop with ``value`` where it reaches beyond the data."""
    beyond = np.zeros((1,) * y.ndim, dtype=np.bool_)
    for axis, stretch in enumerate(stretches):
        if not stretch.is_identity:
            beyond = beyond | stretch.beyond(_CROP).reshape(-1, *(1,) * (y.ndim - axis - 1))
    return torch.where(torch.from_numpy(beyond).to(y.device), value, y).to(y.dtype)
