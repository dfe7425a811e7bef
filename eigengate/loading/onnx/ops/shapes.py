"""Shape algebra: the same numbers under another shape or order."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, operator


@operator("Shape")
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@operator("Size")
def size(x: Tensor) -> Tensor:
    return torch.tensor(math.prod(x.shape), dtype=torch.int64)


@operator("Identity")
def identity(x: Tensor) -> Tensor:
    return x


@operator("Reshape", since=5)
def reshape(x: Tensor, sizes: Ints, *, allowzero: int = 0) -> Tensor:
    if not allowzero:
        sizes = tuple(size or x.shape[axis] for axis, size in enumerate(sizes))
    return torch.reshape(x, sizes)


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    split = axis if axis >= 0 else axis + x.ndim
    return torch.reshape(x, (math.prod(x.shape[:split]), math.prod(x.shape[split:])))


@operator("Squeeze")
def squeeze_by_attribute(x: Tensor, *, axes: Ints | None = None) -> Tensor:
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operator("Squeeze", since=13)
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operator("Unsqueeze")
def unsqueeze_by_attribute(x: Tensor, *, axes: Ints) -> Tensor:
    return _unsqueeze(x, axes)


@operator("Unsqueeze", since=13)
def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    return _unsqueeze(x, axes)


def _unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = torch.unsqueeze(x, axis)
    return x


@operator("Transpose")
def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    return torch.permute(x, perm if perm is not None else tuple(reversed(range(x.ndim))))


@operator("Expand", since=8)
def expand(x: Tensor, sizes: Ints) -> Tensor:
    return torch.broadcast_to(x, _broadcast(tuple(x.shape), sizes))


def _broadcast(a: Ints, b: Ints) -> Ints:
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(left if right == 1 else right for left, right in pairs)


@operator("Tile", since=6)
def tile(x: Tensor, repeats: Ints) -> Tensor:
    return torch.tile(x, repeats)


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        blocks = x.reshape(n, b, b, depth, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, depth, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(order).reshape(n, c * b * b, h // b, w // b)
