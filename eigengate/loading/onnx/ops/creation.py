"""Tensors made from shapes and numbers."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, operator


@operator("ConstantOfShape", since=9)
def constant_of_shape(sizes: Ints, *, value: Tensor | None = None) -> Tensor:
    fill = torch.zeros((1,)) if value is None else value
    return fill.reshape(()).expand(sizes)


@operator("Range", since=11)
def counted_range(start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int = 1) -> Tensor:
    # The count is a shape; the numbers keep the type and the derivative of start and delta.
    count = -(-(limit - start) // delta) if not start.is_floating_point() else torch.ceil((limit - start) / delta)
    steps = torch.arange(max(int(count), 0), device=start.device, dtype=start.dtype)
    return start.reshape(()) + steps * delta.reshape(())


@operator("EyeLike", since=9)
def identity_like(x: Tensor, *, dtype: torch.dtype | None = None, k: int = 0) -> Tensor:
    rows, columns = x.shape
    here = torch.arange(rows, device=x.device).unsqueeze(1) + k
    return (here == torch.arange(columns, device=x.device)).to(dtype or x.dtype)
