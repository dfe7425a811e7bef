"""Indexing and reshaping operators that ONNX Runtime had before the standard did."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops.creation import counted_range
from eigengate.loading.onnx.ops.indexing import gather_slices, triangle
from eigengate.loading.onnx.ops.slicing import pad
from eigengate.loading.onnx.registry import Ints, operator


@operator("GatherND", domain=MICROSOFT)
def gather_slices_without_batches(x: Tensor, indices: Tensor) -> Tensor:
    """The standard's ``GatherND`` without batch axes: indices along the first axes, one slice for each tuple."""
    result: Tensor = gather_slices(x, indices)
    return result


@operator("ExpandDims", domain=MICROSOFT)
def insert_axis(x: Tensor, axis: int) -> Tensor:
    """x with a new axis of size one at ``axis``, negative numbers counting from the end of the result."""
    return torch.unsqueeze(x, axis)


@operator("Trilu", domain=MICROSOFT)
def triangle_before_the_standard(x: Tensor, diagonal: int = 0, *, upper: int = 1) -> Tensor:
    """The standard's ``Trilu``: the triangle above, or below, the diagonal of that number; zero elsewhere."""
    result: Tensor = triangle(x, diagonal, upper=upper)
    return result


@operator("Pad", domain=MICROSOFT)
def pad_by_input(x: Tensor, pads: Ints, value: Tensor | None = None, *, mode: str = "constant") -> Tensor:
    """The standard's ``Pad`` of all axes, its widths being an input of one row or none."""
    result: Tensor = pad(x, pads, value, mode=mode)
    return result


@operator("Range", domain=MICROSOFT, batches=False)
def progression(start: Tensor, limit: Tensor, delta: Tensor | None = None) -> Tensor:
    """The standard's ``Range`` of operands of one element; without delta the numbers are one apart."""
    result: Tensor = counted_range(start, limit, torch.ones_like(start) if delta is None else delta)
    return result


@operator("UnfoldTensor", domain=MICROSOFT)
def unfold(x: Tensor, *, dim: int = -1, size: int, step: int = 1) -> Tensor:
    """All slices of ``size`` elements along ``dim``, every ``step``-th, each a new last axis."""
    return x.unfold(dim, size, step)
