"""Norms, bilinear forms and pairwise distances from elementary operations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from eigengate.loading.torchscript.scalars import DTYPES


def _vector_norm(difference: Tensor, p: float) -> Tensor:
    """‖·‖_p over the last dimension, with derivative zero instead of NaN at the origin."""
    if p != 2:
        norm: Tensor = torch.linalg.vector_norm(difference, p, dim=-1)
        return norm
    squared = difference.square().sum(-1)
    zero = squared == 0
    return squared.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def _cdist(x1: Tensor, *, x2: Tensor, p: float = 2.0, **_: Any) -> Tensor:
    return _vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def _pdist(self: Tensor, *, p: float = 2.0) -> Tensor:
    first, second = torch.triu_indices(self.shape[0], self.shape[0], 1, device=self.device)
    return _vector_norm(self[first] - self[second], p)


def _bilinear(input1: Tensor, *, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out = torch.einsum("...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else out + bias


def _norm(
    self: Tensor,
    *,
    p: float | None = 2.0,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    dtype: int | None = None,
) -> Tensor:
    """‖·‖_p over some or all dimensions; the older operator lacks forward mode."""
    kind = None if dtype is None else DTYPES[dtype]
    order = 2.0 if p is None else p
    norm: Tensor = torch.linalg.vector_norm(self, order, dim=dim or None, keepdim=keepdim, dtype=kind)
    return norm


def _cholesky(self: Tensor, *, upper: bool = False) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(self, upper=upper)
    return factor


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::norm": _norm,
    "aten::cdist": _cdist,
    "aten::pdist": _pdist,
    "aten::bilinear": _bilinear,
    "aten::cholesky": _cholesky,
}
