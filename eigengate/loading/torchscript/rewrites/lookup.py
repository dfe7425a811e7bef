"""Looking up: embeddings, and sums, means and maxima of them, with derivatives that agree in all modes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_SUM, _MEAN, _MAX = 0, 1, 2


def _embedding(weight: Tensor, *, indices: Tensor, **_: Any) -> Tensor:
    """Rows of a table; the padding row, whose gradient PyTorch drops in reverse mode alone, counts like any other."""
    return functional.embedding(indices, weight)


def _embedding_bag(
    weight: Tensor,
    *,
    indices: Tensor,
    offsets: Tensor,
    mode: int = _SUM,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sum, mean or maximum of the embeddings of each bag; three of the four results are bookkeeping."""
    bags = offsets.shape[0] - int(include_last_offset)
    place = torch.arange(indices.shape[0], device=indices.device)
    member = ((place.unsqueeze(0) >= offsets[:bags].unsqueeze(1)).sum(0) - 1).clamp(min=0)
    # Membership as a table instead of a scatter keeps the result differentiable and batchable in every direction.
    belongs = member.unsqueeze(0) == torch.arange(bags, device=indices.device).unsqueeze(1)
    if padding_idx is not None:
        belongs = belongs & (indices != padding_idx % weight.shape[0])
    rows = functional.embedding(indices, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    counts = belongs.sum(1, keepdim=True)
    if mode == _MAX:
        candidates = torch.where(belongs.unsqueeze(-1), rows, -math.inf)
        result = torch.where(counts > 0, candidates.amax(1), 0.0)
    else:
        result = belongs.to(rows.dtype) @ rows
        result = result / counts.clamp(min=1) if mode == _MEAN else result
    return result, member, counts, counts


def _embedding_renorm(self: Tensor, *, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """The table with every row that is looked up scaled to at most ``max_norm``."""
    norms = torch.linalg.vector_norm(self, norm_type, dim=1, keepdim=True)
    rows = torch.arange(self.shape[0], device=self.device)
    asked = (rows.unsqueeze(1) == indices.reshape(1, -1)).any(1, keepdim=True)
    # The kernel's own guard against a division by zero.
    return torch.where(asked & (norms > max_norm), self * (max_norm / (norms + 1e-7)), self)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::embedding": _embedding,
    "aten::embedding_bag": _embedding_bag,
    "aten::embedding_renorm": _embedding_renorm,
}
