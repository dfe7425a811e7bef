"""Distinct elements."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import in_order, modular
from eigengate.loading.onnx.registry import Tensors, operator


@operator("Unique", since=11, batches=False)
def distinct(x: Tensor, *, axis: int | None = None, sorted: int = 1) -> Tensors:
    """The distinct slices of x along ``axis`` (elements of the flattened tensor without one), and where they are.

    In rising order, or with ``sorted`` 0 in that of their first appearance; then the index of the first appearance
    of each, for every slice of x the place of its equal in the result, and how often each occurs. The derivative
    goes to the first appearance.
    """
    source, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    # Of a vector torch finds them faster when it is not told the axis.
    dim = None if source.ndim == 1 else along
    _, places, counts = torch.unique(in_order(source.detach()), return_inverse=True, return_counts=True, dim=dim)
    first = _first_appearances(places, counts)
    if not sorted:
        order = torch.argsort(first)
        first, counts, places = first[order], counts[order], torch.argsort(order)[places]
    return modular(torch.index_select, source, along, first), first, places, counts


def _first_appearances(places: Tensor, counts: Tensor) -> Tensor:
    positions = torch.arange(places.numel(), device=places.device)
    beyond = torch.full_like(counts, places.numel())
    return torch.scatter_reduce(beyond, 0, places, positions, "amin")
