"""What a convolution's kernel sees at every place."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def patches(
    x: Float[Tensor, "N channels *places"],
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Float[Tensor, "N channels entries windows"]:
    """The entries under the kernel, channels × offsets, at every place it stops at; one to three dimensions."""
    if all(size == 1 for size in kernel) and not any(padding):
        for axis, step in enumerate(stride):
            x = x.index_select(2 + axis, torch.arange(0, x.shape[2 + axis], step, device=x.device)) if step > 1 else x
        return x.flatten(2).unsqueeze(2)
    if len(kernel) == 2:
        columns = F.unfold(x, tuple(kernel), dilation=tuple(dilation), padding=tuple(padding), stride=tuple(stride))
        return columns.reshape(*x.shape[:2], -1, columns.shape[-1])
    x = F.pad(x, [amount for size in reversed(padding) for amount in (size, size)])
    for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True)):
        x = x.unfold(2 + axis, (size - 1) * gap + 1, step)[..., ::gap]
    d = len(kernel)
    x = x.permute(0, 1, *range(2 + d, 2 + 2 * d), *range(2, 2 + d))
    return x.flatten(2, 1 + d).flatten(3)
