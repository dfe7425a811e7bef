"""Shape algebra: the same numbers under another shape or order."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Smoothness, operator


@operator("Shape", smoothness=Smoothness.NONE)
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """The sizes of the axes of X from ``start`` up to before ``end``, as integers.

    Negative axes count from the last one, those beyond it are clamped. Version 15 added both attributes.
    """
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@operator("Size", smoothness=Smoothness.NONE)
def size(x: Tensor) -> Tensor:
    """The number of elements of X, as an integer."""
    return torch.tensor(math.prod(x.shape), dtype=torch.int64)


@operator("Identity")
def identity(x: Tensor) -> Tensor:
    """X itself; since version 14 it may be a sequence, since 16 an optional."""
    return x


@operator("Reshape", since=5)
def reshape(x: Tensor, sizes: Ints, *, allowzero: int = 0) -> Tensor:
    """X in row-major order with the given sizes; one of them may be −1, which is then what remains.

    A size of 0 stands for that of the same axis of X, or with ``allowzero`` (version 14) for 0.
    """
    if not allowzero and 0 in sizes:
        sizes = tuple(size or x.shape[axis] for axis, size in enumerate(sizes))
    return torch.reshape(x, sizes)


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """X as a matrix: the axes before ``axis`` make its rows, all others its columns.

    Since version 11 a negative ``axis`` counts from the end.
    """
    split = axis if axis >= 0 else axis + x.ndim
    return torch.reshape(x, (math.prod(x.shape[:split]), math.prod(x.shape[split:])))


@operator("Squeeze")
def squeeze_by_attribute(x: Tensor, *, axes: Ints | None = None) -> Tensor:
    """X without ``axes``, whose size is one; by default without all such axes."""
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operator("Squeeze", since=13)
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """X without ``axes``, whose size is one; by default without all such axes. An attribute until version 13."""
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operator("Unsqueeze")
def unsqueeze_by_attribute(x: Tensor, *, axes: Ints) -> Tensor:
    """X with further axes of size one, which are ``axes`` of the result."""
    return _unsqueeze(x, axes)


@operator("Unsqueeze", since=13)
def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    """X with further axes of size one, which are ``axes`` of the result. An attribute until version 13."""
    return _unsqueeze(x, axes)


def _unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = torch.unsqueeze(x, axis)
    return x


@operator("Transpose")
def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    """X with axis i of the result being axis perm[i] of X; by default the axes are reversed."""
    return torch.permute(x, perm if perm is not None else tuple(reversed(range(x.ndim))))


@operator("Expand", since=8)
def expand(x: Tensor, sizes: Ints) -> Tensor:
    """X repeated along its axes of size one as numpy broadcasts it against the given sizes.

    Either side may have more axes, and where the given size is one, X keeps its own.
    """
    return torch.broadcast_to(x, _broadcast(tuple(x.shape), sizes))


def _broadcast(a: Ints, b: Ints) -> Ints:
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(left if right == 1 else right for left, right in pairs)


@operator("Tile", since=6)
def tile(x: Tensor, repeats: Ints) -> Tensor:
    """X repeats[i] times one after the other along every axis i."""
    return torch.tile(x, repeats)


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """X [n, c, h, w] as [n, c / b², h · b, w · b], b being ``blocksize``: channels become b × b blocks of the plane.

    The place in the block is the slowest part of the channel's number (``DCR``) or the fastest (``CRD``, version 11).
    """
    n, c, h, w = x.shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        blocks = x.reshape(n, b, b, depth, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, depth, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """X [n, c, h, w] as [n, c · b², h / b, w / b], b being ``blocksize``: b × b blocks of the plane become channels.

    The place in the block is the slowest part of the channel's number (``DCR``) or the fastest (``CRD``, version 28).
    """
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(order).reshape(n, c * b * b, h // b, w // b)
