"""Products along an axis."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import modular
from eigengate.loading.onnx.registry import operator


@operator("CumProd", since=26)
def cumulative_product(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """The product of each element and all before it along the axis.

    ``exclusive`` leaves the element itself out, so that the first is one; ``reverse`` runs from the last to the first.
    """
    return modular(_running_product, x, axis, bool(exclusive), bool(reverse)).to(x.dtype)


def _running_product(x: Tensor, axis: int, exclusive: bool, reverse: bool) -> Tensor:
    y = x.flip(axis) if reverse else x
    size = y.shape[axis]
    if exclusive:
        y = torch.cat([torch.ones_like(y.narrow(axis, 0, 1)), y], axis).narrow(axis, 0, size)
    # Doubling spans: torch.cumprod looks for zeros before it differentiates, which cannot be batched.
    span = 1
    while span < size:
        products = y.narrow(axis, span, size - span) * y.narrow(axis, 0, size - span)
        y = torch.cat([y.narrow(axis, 0, span), products], axis)
        span *= 2
    return y.flip(axis) if reverse else y
