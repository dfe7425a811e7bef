"""Scattering and its relatives: values put in places that an index tells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_REDUCTIONS: Final = {
    "add": "sum",
    "multiply": "prod",
    "sum": "sum",
    "amax": "amax",
    "amin": "amin",
    "mean": "mean",
    "prod": "prod",
}


def _max_unpool(self: Tensor, *, indices: Tensor, output_size: Sequence[int], **_: Any) -> Tensor:
    """Each number at its place of the flattened image; what overlapping windows say twice is counted once."""
    spatial = len(output_size)
    flat, places = self.flatten(-spatial), indices.flatten(-spatial)
    empty = flat.new_zeros(*flat.shape[:-1], torch.Size(output_size).numel())
    times = empty.scatter_add(-1, places, torch.ones_like(flat)).gather(-1, places)
    return empty.scatter_add(-1, places, flat / times).reshape(*self.shape[:-spatial], *output_size)


def _reduced(self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    if _REDUCTIONS[reduce] == "prod":
        return _multiplied(self, dim, index, src, include_self)
    return torch.scatter_reduce(self, dim, index, src, _REDUCTIONS[reduce], include_self=include_self)


def _multiplied(self: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> Tensor:
    """Products by place; the kernel's forward mode is zero. A table tells which number goes where."""
    if self.dim() == 0:
        return _multiplied(self.reshape(1), 0, index.reshape(-1), src.reshape(-1), include_self).reshape(())
    dim = dim % self.dim()
    given = src[tuple(slice(size) for size in index.shape)]
    places = torch.arange(self.shape[dim], device=self.device).reshape(-1, *[1] * (self.dim() - dim))
    belongs = index.unsqueeze(dim) == places
    product = torch.where(belongs, given.unsqueeze(dim), 1.0).prod(dim + 1)
    changed = belongs.any(dim + 1)
    # An index may be shorter than what it points into; nothing changes beyond its end.
    missing = [size - product.shape[d] for d, size in enumerate(self.shape)]
    ends = [amount for size in reversed(missing) for amount in (0, size)]
    product, changed = functional.pad(product, ends, value=1.0), functional.pad(changed, ends, value=False)
    return self * product if include_self else torch.where(changed, product, self)


def _scatter_reduce(
    self: Tensor, *, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    return _reduced(self, dim, index, src, reduce, include_self)


def _scatter_value_reduce(self: Tensor, *, dim: int, index: Tensor, value: float, reduce: str) -> Tensor:
    source = torch.full(index.shape, value, dtype=self.dtype, device=self.device)
    return _reduced(self, dim, index, source, reduce, include_self=True)


def _index_reduce(
    self: Tensor, *, dim: int, index: Tensor, source: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    shape = [1] * source.dim()
    if shape:
        shape[dim] = -1
    places = index.reshape(shape).expand(source.shape)
    return _reduced(self, dim, places, source, reduce, include_self)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::max_unpool2d": _max_unpool,
    "aten::max_unpool3d": _max_unpool,
    "aten::scatter.reduce": _scatter_reduce,
    "aten::scatter_.reduce": _scatter_reduce,
    "aten::scatter.value_reduce": _scatter_value_reduce,
    "aten::scatter_.value_reduce": _scatter_value_reduce,
    "aten::scatter_reduce": _scatter_reduce,
    "aten::index_reduce": _index_reduce,
}
