"""Blocks put back into the image they were cut from."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._windows import Window, interleaved
from eigengate.loading.onnx.registry import Ints, operator


@operator("Col2Im", since=18)
def column_to_image(
    x: Tensor,
    image_shape: Ints,
    block_shape: Ints,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """The image [n, c, *image_shape] to which the blocks X [n, c · Πblock_shape, blocks] add up.

    It is the adjoint of cutting an image, with ``pads`` around it, into ``dilated`` blocks at the given ``strides``,
    which stand in lexicographic order; elements that fall on the padding are lost.
    """
    rank = len(block_shape)
    sizes = Window(block_shape, strides or (1,) * rank, dilations or (1,) * rank, pads or (0,) * 2 * rank)
    if rank == 2 and sizes.befores == sizes.afters and x.is_floating_point():
        return F.fold(x, image_shape, sizes.kernel, sizes.dilations, sizes.befores, sizes.strides)
    padded = tuple(sum(each) for each in zip(image_shape, sizes.befores, sizes.afters, strict=True))
    channels = x.shape[1] // math.prod(block_shape)
    target = _targets(sizes, padded).to(x.device)
    flat = torch.zeros(x.shape[0], channels, math.prod(padded), dtype=x.dtype, device=x.device)
    image = torch.index_add(flat, 2, target, x.reshape(x.shape[0], channels, -1)).reshape(*flat.shape[:2], *padded)
    if not any(sizes.pads):
        return image
    return F.pad(image, interleaved(tuple(-p for p in sizes.befores), tuple(-p for p in sizes.afters)))


def _targets(sizes: Window, padded: Ints) -> Tensor:
    """Which element of the flattened padded image every element of every block falls on."""
    rank = len(padded)
    target = torch.zeros([1] * 2 * rank, dtype=torch.int64)
    for axis, (size, extent) in enumerate(zip(padded, sizes.extents(), strict=True)):
        within, starts = [1] * 2 * rank, [1] * 2 * rank
        within[axis] = starts[rank + axis] = -1
        inner = torch.arange(sizes.kernel[axis]) * sizes.dilations[axis]
        outer = torch.arange(0, size - extent + 1, sizes.strides[axis])
        target = target * size + inner.reshape(within) + outer.reshape(starts)
    return target.reshape(-1)
