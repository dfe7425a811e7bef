"""Assignment to a part of a tensor, as functions: ``x[..., k] = y``, ``x[a:b] = y`` and ``x[indices] = c``."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor


def select_scatter(self: Tensor, *, src: Tensor, dim: int, index: int) -> Tensor:
    """The tensor with ``src`` at one index of a dimension.

    Raises:
        IndexError: The dimension has no such index.
    """
    # Under vmap the kernel's backward pass takes the derivative by ``src`` from other places (PyTorch 2.13).
    shape = self.select(dim, index).shape
    dim, start = dim % self.dim(), index % self.shape[dim]
    return slice_scatter(self, src=src.expand(shape).unsqueeze(dim), dim=dim, start=start, end=start + 1)


def slice_scatter(
    self: Tensor, *, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """The tensor with ``src`` in a slice of a dimension; bounds as Python has them."""
    # The kernel has no derivative for complex numbers, no negative bounds under vmap and no end beyond the last index.
    size = self.shape[dim]
    start, end, step = slice(start, end, step).indices(size)
    count = len(range(start, end, step))
    shape = [count if place == dim % self.dim() else length for place, length in enumerate(self.shape)]
    given = src.to(self).expand(shape)
    if not count:
        return self
    if step > 1:
        return self.index_copy(dim, torch.arange(start, end, step, device=self.device), given)
    behind = start + count
    return torch.cat([self.narrow(dim, 0, start), given, self.narrow(dim, behind, size - behind)], dim)


def _index_fill(self: Tensor, *, dim: int, index: Tensor, value: Tensor) -> Tensor:
    """One number, which may carry derivatives, at all of some indices; the kernel goes wrong where vmap has many."""
    if self.dim() == 0:
        return _index_fill(self.reshape(1), dim=0, index=index, value=value).reshape(())
    size = self.shape[dim]
    places = torch.arange(size, device=self.device)
    chosen = (places.unsqueeze(-1) == index.reshape(-1) % size).any(-1)
    along = chosen.reshape(-1, *[1] * (self.dim() - 1 - dim % self.dim()))
    return torch.where(along, value.to(self), self)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::select_scatter": select_scatter,
    "aten::slice_scatter": slice_scatter,
    "aten::index_fill.int_Tensor": _index_fill,
    "aten::index_fill_.int_Tensor": _index_fill,
}
