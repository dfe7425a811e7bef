"""Picking elements by index or by condition."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import modular
from eigengate.loading.onnx.registry import Ints, Smoothness, Tensors, operator


@operator("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """The slices of x at the given positions of ``axis``, whose place the axes of the indices take.

    Indices from −n to n − 1 for an axis of n; those below 0 count from the end (since opset 11).
    """
    axis %= x.ndim
    wrapped = wrap(indices, x.shape[axis])
    taken = modular(torch.index_select, x, axis, wrapped.reshape(-1))
    return taken.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


@operator("GatherElements", since=11)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """y[i, j, …] = x[i, …, indices[i, j, …], …]: the index replaces the coordinate along ``axis``.

    The result has the shape of the indices; those below 0 count from the end.
    """
    return modular(torch.gather, x, axis, wrap(indices, x.shape[axis]))


@operator("GatherND", since=11)
def gather_slices(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """The slices x[i₁, …, i_k] for every vector (i₁, …, i_k) along the last axis of the indices.

    With ``batch_dims`` (since opset 12) the leading axes are common to both, and the vectors index what follows them.
    """
    places = (*_batch_positions(indices, batch_dims), *indices.to(torch.int64).unbind(-1))
    return modular(lambda source: source[places], x)


def _batch_positions(indices: Tensor, batch_dims: int) -> Tensors:
    positions = []
    for axis in range(batch_dims):
        view = [1] * (indices.ndim - 1)
        view[axis] = indices.shape[axis]
        positions.append(torch.arange(indices.shape[axis], device=indices.device).reshape(view))
    return tuple(positions)


def wrap(indices: Tensor, size: int) -> Tensor:
    """Nonnegative indices for those that count from the end."""
    wide = indices.to(torch.int64)
    return torch.where(wide < 0, wide + size, wide)


@operator("OneHot", since=9)
def one_hot_of_nonnegative(indices: Tensor, depth: Ints, values: Tensor, *, axis: int = -1) -> Tensor:
    """As of opset 11, but an index below 0 is out of range."""
    return _one_hot(indices.to(torch.int64), depth[0], values, axis)


@operator("OneHot", since=11)
def one_hot(indices: Tensor, depth: Ints, values: Tensor, *, axis: int = -1) -> Tensor:
    """values = [off, on]: on where the coordinate along a new axis is the index, off elsewhere.

    The new axis, of size ``depth``, stands at ``axis`` of the result. Indices below 0 count from the end; one outside
    of −depth … depth − 1 leaves everything off. Floating indices are cut off to integers.
    """
    return _one_hot(wrap(indices, depth[0]), depth[0], values, axis)


def _one_hot(indices: Tensor, depth: int, values: Tensor, axis: int) -> Tensor:
    here = indices.unsqueeze(axis)
    shape = [1] * here.ndim
    shape[axis] = depth
    classes = torch.arange(depth, device=indices.device).reshape(shape)
    return torch.where(here == classes, values[1], values[0])


@operator("TopK")
def top_k_by_attribute(x: Tensor, *, k: int, axis: int = -1) -> Tensors:
    """The ``k`` largest elements along ``axis`` and their indices, as of opset 10; k is an attribute."""
    return _top_k(x, k, axis, True)


@operator("TopK", since=10)
def top_k(x: Tensor, k: Ints, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Tensors:
    """The k largest elements along ``axis`` (smallest if ``largest`` is 0, since opset 11) and their indices.

    Always sorted; of equal elements the one with the lower index comes first. The derivative goes to the elements
    that were picked.
    """
    return _top_k(x, k[0], axis, bool(largest))


def _top_k(x: Tensor, k: int, axis: int, largest: bool) -> Tensors:
    # Unlike torch.topk, a stable sort gives equal values in the order in which they stand.
    values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), indices.narrow(axis, 0, k)


@operator("Trilu", since=14)
def triangle(x: Tensor, diagonal: int | None = None, *, upper: int = 1) -> Tensor:
    """The upper (or lower) triangle of every matrix along the last two axes, zeros elsewhere.

    It includes the given diagonal: the main one for 0 or none given, those above it for positive numbers.
    """
    return modular(torch.triu if upper else torch.tril, x, diagonal or 0)


@operator("NonZero", since=9, smoothness=Smoothness.NONE, batches=False)
def nonzero(x: Tensor) -> Tensor:
    """The coordinates of the elements that are not 0, one column for each, in row-major order."""
    return torch.nonzero(x != 0).T


@operator("Compress", since=9)
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """The slices along ``axis`` where the condition, a vector that may be shorter, holds.

    Without an axis the elements of the flattened tensor.
    """
    source, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    return modular(torch.index_select, source, along, torch.nonzero(condition).reshape(-1))
