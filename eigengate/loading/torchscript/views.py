"""How a change of a view is put back into its base, functionally."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

from eigengate.loading.torchscript.rewrites.assignment import select_scatter, slice_scatter


def _select(base: Tensor, changed: Tensor, dim: int, index: int) -> Tensor:
    return select_scatter(base, src=changed, dim=dim, index=index)


def _slice(base: Tensor, changed: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    return slice_scatter(base, src=changed, dim=dim, start=start, end=end, step=step)


def _narrow(base: Tensor, changed: Tensor, dim: int, start: int, length: int) -> Tensor:
    start %= base.shape[dim] or 1
    return slice_scatter(base, src=changed, dim=dim, start=start, end=start + length)


def _shape(base: Tensor, changed: Tensor, *_: Any) -> Tensor:
    return changed.reshape(base.shape)


def _transpose(_: Tensor, changed: Tensor, first: int, second: int) -> Tensor:
    return changed.transpose(first, second)


def _permute(_: Tensor, changed: Tensor, dims: list[int]) -> Tensor:
    places = [dim % changed.dim() for dim in dims]
    return changed.permute([places.index(dim) for dim in range(len(places))])


RESHAPING: Final = frozenset(
    f"aten::{name}_" for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims")
)
"""Operators that work in place on the shape of their argument and leave the memory that it shows alone."""

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
    "aten::swapaxes": _transpose,
    "aten::swapdims": _transpose,
    "aten::t": lambda _, changed: changed.t(),
    "aten::permute": _permute,
    # An attribute that the model assigns is read by its name; what was read stands for it.
    "state::get": lambda _, changed: changed,
}
"""By view operator: (base, changed view, the view's other arguments) to the changed base.

``reshape``, ``flatten`` and ``contiguous`` are missing on purpose: they may copy, and then their base must not change.
"""
