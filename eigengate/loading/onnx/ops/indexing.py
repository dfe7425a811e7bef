"""Picking and placing elements by index."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Tensors, operator

_REDUCTIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": torch.mul,
    "max": torch.maximum,
    "min": torch.minimum,
}


@operator("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    axis %= x.ndim
    wrapped = _wrap(indices, x.shape[axis])
    taken = torch.index_select(x, axis, wrapped.reshape(-1))
    return taken.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


@operator("GatherElements", since=11)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(x, axis, _wrap(indices, x.shape[axis]))


@operator("GatherND", since=11)
def gather_slices(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    leading = _batch_positions(indices, batch_dims)
    return x[(*leading, *_wrap(indices, 0).unbind(-1))]


def _batch_positions(indices: Tensor, batch_dims: int) -> Tensors:
    positions = []
    for axis in range(batch_dims):
        view = [1] * (indices.ndim - 1)
        view[axis] = indices.shape[axis]
        positions.append(torch.arange(indices.shape[axis], device=indices.device).reshape(view))
    return tuple(positions)


@operator("ScatterElements", since=11)
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    positions = _wrap(indices, x.shape[axis])
    match reduction:
        case "none":
            return torch.scatter(x, axis, positions, updates)
        case "add":
            return torch.scatter_add(x, axis, positions, updates)
    # torch's other scattering reductions lack correct derivatives. Within one slice along the axis no position
    # repeats, so slice by slice a plain scatter will do.
    for here, update in zip(torch.split(positions, 1, axis), torch.split(updates, 1, axis), strict=True):
        combined = _REDUCTIONS[reduction](torch.gather(x, axis, here), update)
        x = torch.scatter(x, axis, here, combined)
    return x


@operator("Scatter", since=9)
def scatter(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    return torch.scatter(x, axis, _wrap(indices, x.shape[axis]), updates)


@operator("ScatterND", since=11)
def scatter_slices(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    depth = indices.shape[-1]
    head, tail = x.shape[:depth], x.shape[depth:]
    flat = _flat_positions(indices, head)
    rows = x.reshape(-1, *tail)
    values = updates.reshape(-1, *tail)
    if reduction == "none":
        return torch.index_put(rows, (flat,), values).reshape(x.shape)
    if reduction == "add":
        return torch.index_add(rows, 0, flat, values).reshape(x.shape)
    for row, value in zip(torch.split(flat, 1), torch.split(values, 1), strict=True):
        rows = torch.index_put(rows, (row,), _REDUCTIONS[reduction](rows[row], value))
    return rows.reshape(x.shape)


def _flat_positions(indices: Tensor, sizes: Ints) -> Tensor:
    flat = torch.zeros_like(indices[..., 0])
    for axis, size in enumerate(sizes):
        flat = flat * size + _wrap(indices[..., axis], size)
    return flat.reshape(-1)


def _wrap(indices: Tensor, size: int) -> Tensor:
    """Nonnegative indices for those that count from the end; torch's own indexing (size 0) wraps by itself."""
    wide = indices.to(torch.int64)
    return torch.where(wide < 0, wide + size, wide) if size else wide


@operator("TopK")
def top_k_by_attribute(x: Tensor, *, k: int, axis: int = -1) -> Tensors:
    return _top_k(x, k, axis, True)


@operator("TopK", since=10)
def top_k(x: Tensor, k: Ints, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Tensors:
    return _top_k(x, k[0], axis, bool(largest))


def _top_k(x: Tensor, k: int, axis: int, largest: bool) -> Tensors:
    # Unlike torch.topk, a stable sort gives equal values in the order in which they stand.
    values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), indices.narrow(axis, 0, k)


@operator("OneHot", since=9)
def one_hot(indices: Tensor, depth: Ints, values: Tensor, *, axis: int = -1) -> Tensor:
    classes = torch.arange(depth[0], device=indices.device)
    wrapped = _wrap(indices, depth[0]).unsqueeze(axis)
    shape = [1] * wrapped.ndim
    shape[axis] = depth[0]
    return torch.where(wrapped == classes.reshape(shape), values[1], values[0])


@operator("Trilu", since=14)
def triangle(x: Tensor, diagonal: int = 0, *, upper: int = 1) -> Tensor:
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


@operator("NonZero", since=9)
def nonzero(x: Tensor) -> Tensor:
    return torch.nonzero(x).T


@operator("Compress", since=9)
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    source, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.index_select(source, along, torch.nonzero(condition).reshape(-1))
