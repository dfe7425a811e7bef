"""Cropping and padding about the centre."""

import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, operator


@operator("CenterCropPad", since=18)
def center_crop_pad(x: Tensor, shape: Ints, *, axes: Ints | None = None) -> Tensor:
    """X cut, or filled up with zeros, evenly at both ends of each of ``axes`` (default: all) to the sizes ``shape``.

    Of an odd number of elements the last end loses or gains one more than the first.
    """
    named = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
    widths = [0] * (2 * x.ndim)
    for axis, size in zip(named, shape, strict=True):
        surplus = size - x.shape[axis]
        # Half of it rounded towards zero, where // rounds down.
        before = surplus // 2 if surplus >= 0 else -(-surplus // 2)
        widths[2 * axis : 2 * axis + 2] = surplus - before, before
    return F.pad(x, widths[::-1])
