"""The partial inverse of max pooling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import window
from eigengate.loading.onnx.registry import Ints, operator


@operator("MaxUnpool", since=9)
def max_unpool(
    x: Tensor,
    indices: Tensor,
    output_shape: Ints | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """Zeros with every element of X where its index says: the position in the flattened input of the ``MaxPool``.

    That input is taken to have had (n − 1) · stride + kernel − pads elements along an axis with n now; a larger
    ``output_shape`` adds zeros at the ends.
    """
    sizes = window(tuple(x.shape[2:]), kernel_shape, strides, None, pads, "NOTSET")
    spatial = [
        (size - 1) * stride + extent - before - after
        for size, stride, extent, before, after in zip(
            x.shape[2:], sizes.strides, sizes.kernel, sizes.befores, sizes.afters, strict=True
        )
    ]
    shape = (*x.shape[:2], *spatial)
    zeros = torch.zeros(math.prod(shape), dtype=x.dtype, device=x.device)
    y = torch.scatter(zeros, 0, indices.reshape(-1), x.reshape(-1)).reshape(shape)
    if output_shape is None or output_shape == shape:
        return y
    missing = [width for have, want in zip(shape, output_shape, strict=True) for width in (want - have, 0)]
    return F.pad(y, missing[::-1])
