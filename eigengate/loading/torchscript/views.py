"""How a change of a view is put back into its base, functionally."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor


def _select(base: Tensor, changed: Tensor, dim: int, index: int) -> Tensor:
    return torch.select_scatter(base, changed, dim, index)


def _slice(base: Tensor, changed: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    # TorchScript writes an open end as the largest integer, which slice_scatter cannot add to.
    return torch.slice_scatter(base, changed, dim, start, None if end == sys.maxsize else end, step)


def _narrow(base: Tensor, changed: Tensor, dim: int, start: int, length: int) -> Tensor:
    return torch.slice_scatter(base, changed, dim, start, start + length)


def _shape(base: Tensor, changed: Tensor, *_: Any) -> Tensor:
    return changed.reshape(base.shape)


def _transpose(_: Tensor, changed: Tensor, first: int, second: int) -> Tensor:
    return changed.transpose(first, second)


def _permute(_: Tensor, changed: Tensor, dims: list[int]) -> Tensor:
    places = [dim % changed.dim() for dim in dims]
    return changed.permute([places.index(dim) for dim in range(len(places))])


WRITE_BACK: Final[Mapping[str, Callable[..., Tensor]]] = {
    "aten::select": _select,
    "aten::slice": _slice,
    "aten::narrow": _narrow,
    "aten::view": _shape,
    "aten::view_as": _shape,
    "aten::unsqueeze": _shape,
    "aten::squeeze": _shape,
    "aten::unflatten": _shape,
    "aten::transpose": _transpose,
    "aten::t": lambda _, changed: changed.t(),
    "aten::permute": _permute,
    # An attribute that the model assigns is read by its name; what was read stands for it.
    "state::get": lambda _, changed: changed,
}
"""By view operator: (base, changed view, the view's other arguments) to the changed base.

``reshape``, ``flatten`` and ``contiguous`` are missing on purpose: they may copy, and then their base must not change.
"""
