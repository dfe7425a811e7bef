"""Looking up: embeddings, their sums, and sampling of images on a grid, with derivatives that agree in all modes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.errors import UnsupportedOperatorError

_BILINEAR, _NEAREST = 0, 1
_ZEROS, _BORDER = 0, 1


def _pixels(coordinate: Tensor, size: int, align_corners: bool) -> Tensor:
    return (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2


def _grid_sample(
    input: Tensor,
    *,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Tensor:
    """Values of ``input`` [n, c, h, w] at ``grid`` [n, p, q, 2], whose coordinates lie in [−1, 1]."""
    if input.dim() != 4 or interpolation_mode not in (_BILINEAR, _NEAREST) or padding_mode not in (_ZEROS, _BORDER):
        raise UnsupportedOperatorError(
            f"grid_sample of {input.dim()} dimensions in mode {interpolation_mode}, {padding_mode} is not supported",
            hint="Use bilinear or nearest sampling of images with zeros or border padding.",
        )
    height, width = input.shape[-2:]
    x, y = _pixels(grid[..., 0], width, align_corners), _pixels(grid[..., 1], height, align_corners)
    if padding_mode == _BORDER:
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    if interpolation_mode == _NEAREST:
        return _pick(input, x.round(), y.round())
    left, top = x.floor(), y.floor()
    right_share, bottom_share = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    upper = _pick(input, left, top) * (1 - right_share) + _pick(input, left + 1, top) * right_share
    lower = _pick(input, left, top + 1) * (1 - right_share) + _pick(input, left + 1, top + 1) * right_share
    return upper * (1 - bottom_share) + lower * bottom_share


def _pick(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Pixels at whole coordinates [n, p, q], zero outside."""
    height, width = images.shape[-2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
    flat = index.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)
    picked = images.flatten(2).gather(2, flat).reshape(*images.shape[:2], *index.shape[1:])
    return picked * inside.unsqueeze(1).to(picked.dtype)


def _embedding(weight: Tensor, *, indices: Tensor, **_: Any) -> Tensor:
    """Rows of a table; the padding row, whose gradient PyTorch drops in reverse mode alone, counts like any other."""
    return functional.embedding(indices, weight)


def _embedding_bag(
    weight: Tensor,
    *,
    indices: Tensor,
    offsets: Tensor,
    mode: int = 0,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sum (0) or mean (1) of the embeddings of each bag; three of the four results are bookkeeping."""
    if mode not in (0, 1) or (padding_idx is not None and padding_idx >= 0):
        raise UnsupportedOperatorError("embedding_bag by maximum or with padding is not supported")
    bags = offsets.shape[0] - int(include_last_offset)
    place = torch.arange(indices.shape[0], device=indices.device)
    member = ((place.unsqueeze(0) >= offsets[:bags].unsqueeze(1)).sum(0) - 1).clamp(min=0)
    rows = functional.embedding(indices, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    # One-hot membership instead of a scatter keeps the sum differentiable and batchable in every direction.
    membership = (member.unsqueeze(0) == torch.arange(bags, device=indices.device).unsqueeze(1)).to(rows.dtype)
    counts = membership.sum(1, keepdim=True)
    result = membership @ rows
    return (result / counts.clamp(min=1) if mode == 1 else result), member, counts, counts


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::grid_sampler": _grid_sample,
    "aten::grid_sampler_2d": _grid_sample,
    "aten::embedding": _embedding,
    "aten::embedding_bag": _embedding_bag,
}
