"""Losses inside a network whose kernels have no forward mode or no second derivative."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_NONE, _MEAN = 0, 1


def _reduced(losses: Tensor, reduction: int) -> Tensor:
    if reduction == _NONE:
        return losses
    return losses.mean() if reduction == _MEAN else losses.sum()


def _rows(tensor: Tensor) -> Tensor:
    """[n, c], also of a single sample."""
    return tensor if tensor.dim() > 1 else tensor.reshape(1, -1)


def _squared(self: Tensor, *, target: Tensor, reduction: int = _MEAN) -> Tensor:
    return _reduced((self - target).square(), reduction)


def _soft_margin(self: Tensor, *, target: Tensor, reduction: int = _MEAN) -> Tensor:
    """log(1 + exp(−t·x))."""
    return _reduced(functional.softplus(-target * self), reduction)


def _huber(self: Tensor, *, target: Tensor, reduction: int = _MEAN, delta: float = 1.0) -> Tensor:
    """½ d² where the distance d is below δ, else δ (d − ½ δ)."""
    distance = (self - target).abs()
    return _reduced(
        torch.where(distance < delta, distance.square() / 2, delta * (distance - delta / 2)),
        reduction,
    )


def _multi_margin(
    self: Tensor,
    *,
    target: Tensor,
    p: float = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = _MEAN,
) -> Tensor:
    """Σ over the wrong classes of w_y · max(0, margin − x_y + x_i)ᵖ / C."""
    scores, labels = _rows(self), target.reshape(-1)
    excess = functional.relu(margin - scores.gather(1, labels.unsqueeze(1)) + scores)
    wrong = labels.unsqueeze(1) != torch.arange(scores.shape[1], device=scores.device)
    each = torch.where(wrong, excess if p == 1 else excess.square(), 0.0)
    if weight is not None:
        each = each * weight[labels].unsqueeze(1)
    losses = each.mean(1)
    return _reduced(losses if self.dim() > 1 else losses.squeeze(0), reduction)


def _multilabel_margin(self: Tensor, *, target: Tensor, reduction: int = _MEAN) -> Tensor:
    """Σ over labels j and other classes i of max(0, 1 − x_j + x_i) / C; labels end at the first −1."""
    scores, labels = _rows(self), _rows(target)
    given = (labels < 0).cumsum(1) == 0
    classes = torch.arange(scores.shape[1], device=scores.device)
    is_label = ((labels.unsqueeze(2) == classes) & given.unsqueeze(2)).any(1)
    excess = functional.relu(1 - scores.gather(1, labels.clamp(min=0)).unsqueeze(2) + scores.unsqueeze(1))
    counts = given.unsqueeze(2) & ~is_label.unsqueeze(1)
    losses = torch.where(counts, excess, 0.0).sum((1, 2)) / scores.shape[1]
    return _reduced(losses if self.dim() > 1 else losses.squeeze(0), reduction)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::mse_loss": _squared,
    "aten::soft_margin_loss": _soft_margin,
    "aten::huber_loss": _huber,
    "aten::multi_margin_loss": _multi_margin,
    "aten::multilabel_margin_loss": _multilabel_margin,
}
