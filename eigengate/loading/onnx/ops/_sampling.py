"""Sampling at real positions: a sample is a weighted sum of the points around it, taken axis by axis.

torch's own kernel for it has neither second derivatives nor forward mode.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

Taps = Sequence[tuple[Tensor, Tensor | None]]
"""Along one axis: the points that every sample touches, and their weights (None: one); each of shape [n, samples]."""
Locate = Callable[[Tensor], Taps]
"""The taps of positions along an axis, some of which may lie beyond its ends."""


def sample(x: Tensor, axes: Sequence[Taps]) -> Tensor:
    """Samples [n, c, samples] of x [n, c, *spatial], whose taps along every spatial axis are given."""
    return reduce(torch.add, terms(x, axes))


def terms(x: Tensor, axes: Sequence[Taps]) -> Iterator[Tensor]:
    """What a sample is the sum of: for every combination of taps the point there times its weights."""
    flat = x.flatten(2)
    for taps in itertools.product(*axes):
        position, weight = taps[0]
        for size, (point, share) in zip(x.shape[3:], taps[1:], strict=True):
            position = position * size + point
            weight = share if weight is None else weight if share is None else weight * share
        term = torch.gather(flat, 2, position.unsqueeze(1).expand(-1, x.shape[1], -1))
        yield term if weight is None else term * weight.unsqueeze(1)


def nearest(at: Tensor) -> Taps:
    """The closest point; halves go to the even one, as in torch."""
    return [(torch.round(at.detach()).to(torch.int64), None)]


def linear(at: Tensor) -> Taps:
    """The two points around a position, by their closeness."""
    before = torch.floor(at.detach())
    ratio = at - before
    first = before.to(torch.int64)
    return [(first, 1 - ratio), (first + 1, ratio)]


def cubic(at: Tensor) -> Taps:
    """The four points around a position, after Keys with slope −0.75."""
    before = torch.floor(at.detach())
    ratio = at - before
    first = before.to(torch.int64)
    shares = (_far(1 + ratio), _near(ratio), _near(1 - ratio), _far(2 - ratio))
    return [(first + offset, share) for offset, share in zip((-1, 0, 1, 2), shares, strict=True)]


def _near(d: Tensor) -> Tensor:
    return (1.25 * d - 2.25) * d * d + 1


def _far(d: Tensor) -> Tensor:
    return ((-0.75 * d + 3.75) * d - 6) * d + 3


def zeros_outside(taps: Taps, size: int, like: Tensor) -> Taps:
    """Points beyond the ends count as zeros."""
    kept = []
    for point, weight in taps:
        inside = ((point >= 0) & (point < size)).to(like.dtype)
        kept.append((torch.clamp(point, 0, size - 1), inside if weight is None else weight * inside))
    return kept


def reflect(at: Tensor, low: float, high: float) -> Tensor:
    """Positions folded back into [low, high] at its ends, as often as it takes."""
    if high == low:
        return torch.full_like(at, low)
    distance = torch.abs(at - low)
    folds = torch.floor(distance.detach() / (high - low))
    rest = distance - folds * (high - low)
    return torch.where(folds % 2 == 0, low + rest, high - rest)


LOCATE: Mapping[str, Locate] = {"nearest": nearest, "linear": linear, "cubic": cubic}
