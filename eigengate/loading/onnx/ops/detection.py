"""Choosing among detected objects."""

from itertools import product

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Floats, Ints, Smoothness, operator


@operator("NonMaxSuppression", since=10, smoothness=Smoothness.NONE, batches=False)
def non_maximum_suppression(
    boxes: Tensor,
    scores: Tensor,
    most: Ints | None = None,
    overlap: Floats | None = None,
    score: Floats | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """Boxes by falling score without those that overlap a better one of their class, as [batch, class, box] indices.

    Boxes have the shape [batches, boxes, 4]: two opposite corners [y, x, y, x], or centre and size [x, y, width,
    height] with ``center_point_box``; scores have [batches, classes, boxes]. Kept are those with a score above
    ``score``, at most ``most`` (by default none) for each class; intersection over union above ``overlap`` drops.
    """
    corners = _corners(boxes.detach(), bool(center_point_box))
    ranked, order = torch.sort(scores.detach(), dim=-1, descending=True, stable=True)
    limit, tolerated = (most[0] if most else 0), (overlap[0] if overlap else 0.0)
    found = [torch.zeros((0, 3), dtype=torch.int64, device=boxes.device)]
    for batch, kind in product(*map(range, scores.shape[:2])):
        candidates = order[batch, kind]
        if score:
            candidates = candidates[ranked[batch, kind] > score[0]]
        kept = _kept(corners[batch], candidates, limit, tolerated)
        found.append(torch.stack([torch.full_like(kept, batch), torch.full_like(kept, kind), kept], 1))
    return torch.cat(found)


def _kept(corners: Tensor, candidates: Tensor, limit: int, tolerated: float) -> Tensor:
    """The first candidate, then the first of those that do not overlap it, and so on."""
    kept: list[Tensor] = []
    while len(kept) < limit and candidates.numel():
        best, others = candidates[:1], candidates[1:]
        kept.append(best)
        candidates = others[_intersection_over_union(corners[best], corners[others]) <= tolerated]
    return torch.cat(kept) if kept else candidates[:0]


def _intersection_over_union(one: Tensor, others: Tensor) -> Tensor:
    lower, upper = torch.maximum(one[:, :2], others[:, :2]), torch.minimum(one[:, 2:], others[:, 2:])
    common = torch.clamp(upper - lower, min=0).prod(-1)
    union = _areas(one) + _areas(others) - common
    return torch.where(union > 0, common / union, torch.zeros_like(common))


def _areas(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).prod(-1)


def _corners(boxes: Tensor, centred: bool) -> Tensor:
    """Every box as its lower and its upper corner."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if centred:
        return torch.cat([first - second / 2, first + second / 2], -1)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)
