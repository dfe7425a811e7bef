"""Pooling over regions of interest: rectangles, each in one image of the batch, cut into a grid of bins."""

from functools import reduce

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._sampling import Taps, linear, sample, terms
from eigengate.loading.onnx.registry import Ints, operator


@operator("RoiAlign", since=10)
def roi_align_unshifted(
    x: Tensor,
    rois: Tensor,
    images: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Per region (x₁, y₁, x₂, y₂) of X[image] [c, h, w] and per bin, the average of linearly interpolated samples.

    Corners are multiplied by ``spatial_scale``; no side is shorter than one. A bin takes ``sampling_ratio`` samples
    each way, or ⌈its length⌉ (0). ``max`` takes the largest share of any point in any sample. The result has shape
    [regions, c, output_height, output_width].
    """
    bins = (output_height, output_width)
    return _roi_align(x, rois * spatial_scale, images, bins, sampling_ratio, mode, shortest=1.0)


@operator("RoiAlign", since=16)
def roi_align(
    x: Tensor,
    rois: Tensor,
    images: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """Per region (x₁, y₁, x₂, y₂) of X[image] [c, h, w] and per bin, the average of linearly interpolated samples.

    Corners are multiplied by ``spatial_scale`` and, for ``half_pixel``, moved by −½; for ``output_half_pixel``, as
    before version 16, no side is shorter than one instead. A bin takes ``sampling_ratio`` samples each way, or ⌈its
    length⌉ (0). ``max`` takes the largest share of any point in any sample. The result has shape [regions, c,
    output_height, output_width].
    """
    shifted = coordinate_transformation_mode == "half_pixel"
    corners = rois * spatial_scale - (0.5 if shifted else 0.0)
    bins = (output_height, output_width)
    return _roi_align(x, corners, images, bins, sampling_ratio, mode, shortest=None if shifted else 1.0)


def _roi_align(
    x: Tensor, corners: Tensor, images: Tensor, bins: Ints, ratio: int, mode: str, shortest: float | None
) -> Tensor:
    left, top, right, bottom = corners.unbind(1)
    rows = _Samples(top, bottom, shortest, bins[0], ratio, x.shape[2])
    columns = _Samples(left, right, shortest, bins[1], ratio, x.shape[3])
    if ratio > 0:
        return _gathered(x, images, rows, columns, mode)
    if mode == "avg":
        return _contracted(x, images, rows, columns)
    maxima = _maxima(x[images], columns)
    return _maxima(maxima.transpose(2, 3), rows).transpose(2, 3)


class _Samples:
    """Where the bins of every region are sampled along one axis, at most ``limit`` times each.

    An adaptive number of samples depends on the region. They lie more than half an element apart then, so that no more
    than ``size`` + 2 of a bin meet the image; the window over them has room for one before and one after.
    """

    def __init__(self, start: Tensor, end: Tensor, shortest: float | None, bins: int, ratio: int, size: int) -> None:
        extent = end - start if shortest is None else torch.clamp(end - start, min=shortest)
        length = (extent / bins)[:, None, None]
        limit = ratio or size + 4
        self.size, self.bins, self.limit = size, bins, limit
        self.number = torch.full_like(length, ratio) if ratio else torch.clamp(torch.ceil(length.detach()), min=0)
        step = length / torch.clamp(self.number, min=1)
        first = start[:, None, None] + torch.arange(bins, device=start.device)[:, None] * length
        before = torch.ceil((-1 - first) / torch.clamp(step, min=1e-6) - 1.5).detach()
        skipped = torch.minimum(torch.clamp(before, min=0), torch.clamp(self.number - limit, min=0))
        order = skipped + torch.arange(limit, device=start.device)
        self.counted = order < self.number
        self.at = first + (torch.clamp(torch.minimum(order, self.number - 1), min=0) + 0.5) * step
        self.inside = (self.at >= -1) & (self.at <= size) & (self.number > 0)

    def taps(self) -> Taps:
        """Points and weights for [region, bin], one sample after the other; uncounted ones repeat the last."""
        found = []
        for at, inside in zip(torch.clamp(self.at, 0, self.size - 1).unbind(2), self.inside.unbind(2), strict=True):
            for point, share in linear(at):
                weight = None if share is None else share * inside
                found.append((torch.clamp(point, max=self.size - 1), weight))
        return found

    def shares(self) -> Tensor:
        """How much every bin takes of every element: [region, bin, size]."""
        at = torch.clamp(self.at, 0, self.size - 1).unsqueeze(-1)
        hats = torch.clamp(1 - torch.abs(at - torch.arange(self.size, device=at.device)), min=0)
        counted = (self.inside & self.counted).unsqueeze(-1)
        return (hats * counted).sum(2) / torch.clamp(self.number, min=1)


def _gathered(x: Tensor, images: Tensor, rows: _Samples, columns: _Samples, mode: str) -> Tensor:
    """A fixed number of samples: each point is fetched where it lies."""
    shape = (images.shape[0], rows.bins, columns.bins)
    axes = (
        _spread([(images, None)], (-1, 1, 1), shape),
        _spread(rows.taps(), (shape[0], -1, 1), shape),
        _spread(columns.taps(), (shape[0], 1, -1), shape),
    )
    pile = x.transpose(0, 1).unsqueeze(0)  # which image it is becomes one more axis
    if mode == "max":
        pooled = reduce(torch.maximum, terms(pile, axes))
    else:
        pooled = sample(pile, axes) / (rows.limit * columns.limit)
    return pooled.reshape(x.shape[1], *shape).transpose(0, 1)


def _spread(taps: Taps, view: Ints, shape: Ints) -> Taps:
    def over_bins(value: Tensor) -> Tensor:
        return value.reshape(view).expand(shape).reshape(1, -1)

    return [(over_bins(point), None if weight is None else over_bins(weight)) for point, weight in taps]


def _contracted(x: Tensor, images: Tensor, rows: _Samples, columns: _Samples) -> Tensor:
    """Averages of however many samples: what a bin takes of a row times what it takes of a column."""
    n, c, h, w = x.shape
    own = (images[:, None] == torch.arange(n, device=x.device)).to(x.dtype)
    vertical = (rows.shares().unsqueeze(2) * own[:, None, :, None]).reshape(-1, n * h)
    strips = (vertical @ x.transpose(1, 2).reshape(n * h, c * w)).reshape(-1, rows.bins * c, w)
    pooled = strips @ columns.shares().transpose(1, 2)
    return pooled.reshape(-1, rows.bins, c, columns.bins).transpose(1, 2)


def _maxima(x: Tensor, samples: _Samples) -> Tensor:
    """The largest share of any element of the last axis in any sample of a bin."""
    shape = (*x.shape[:3], samples.bins)
    weighted = (
        torch.gather(x, 3, point[:, None, None].expand(shape)) * weight[:, None, None]
        for point, weight in samples.taps()
        if weight is not None
    )
    return reduce(torch.maximum, weighted)


@operator("MaxRoiPool")
def max_roi_pool(x: Tensor, rois: Tensor, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Tensor:
    """Per region (image, x₁, y₁, x₂, y₂) and per bin, the largest element of X[image] [c, h, w]; 0 for empty bins.

    Corners are multiplied by ``spatial_scale``, rounded and inclusive. The result has shape [regions, c,
    *pooled_shape]; it does not change with small moves of a region.
    """
    images, left, top, right, bottom = rois.detach().unbind(1)
    own = torch.index_select(x, 0, images.to(torch.int64))
    columns = _covered(left * spatial_scale, right * spatial_scale, pooled_shape[1], x.shape[3])
    rows = _covered(top * spatial_scale, bottom * spatial_scale, pooled_shape[0], x.shape[2])
    maxima = _largest(_largest(own, columns).transpose(2, 3), rows).transpose(2, 3)
    empty = ~(rows.any(2)[:, None, :, None] & columns.any(2)[:, None, None, :])
    return torch.where(empty, torch.zeros_like(maxima), maxima)


def _covered(start: Tensor, end: Tensor, bins: int, size: int) -> Tensor:
    """Which elements along an axis every bin covers: [region, bin, size]."""
    first, last = _rounded(start)[:, None], _rounded(end)[:, None]
    length = torch.clamp(last - first + 1, min=1) / bins
    order = torch.arange(bins, device=start.device)
    begins, stops = first + torch.floor(order * length), first + torch.ceil((order + 1) * length)
    elements = torch.arange(size, device=start.device)
    return (elements >= begins.unsqueeze(2)) & (elements < stops.unsqueeze(2))


def _rounded(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from zero."""
    return torch.sign(x) * torch.floor(torch.abs(x) + 0.5)


def _largest(x: Tensor, covered: Tensor) -> Tensor:
    """The largest covered element of the last axis, bin by bin; of equal ones the first."""
    lowest = torch.finfo(x.dtype).min
    bins = (torch.where(cover[:, None, None], x, lowest) for cover in covered.unbind(1))
    return torch.stack([torch.max(each, 3).values for each in bins], 3)
