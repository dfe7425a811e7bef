"""Enlarging by the nearest pixel's centre, whose kernel has no batching rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

_SCALES: Final = ("scales", "scales_d", "scales_h", "scales_w")


def _nearest_exact(
    input: Tensor,
    *,
    output_size: Sequence[int] | None,
    scale_factors: Sequence[float] | None = None,
    **scales: float | None,
) -> Tensor:
    """Pixel ⌊(i + ½) · in/out⌋ along every spatial dimension; a given scale stands for in/out."""
    sizes = input.shape[2:]
    given: Sequence[float | None] = scale_factors or [scales[name] for name in _SCALES if name in scales]
    factors = given or [None] * len(sizes)
    wanted = output_size or [int(size * (factor or 1.0)) for size, factor in zip(sizes, factors, strict=True)]
    for dim, (size, out, factor) in enumerate(zip(sizes, wanted, factors, strict=True), start=2):
        step = 1.0 / factor if factor is not None and factor > 0 else size / out
        # In the type of the pixels, in which the kernel computes; rounding decides at ties.
        places = (torch.arange(out, dtype=input.dtype, device=input.device) + 0.5) * step
        input = input.index_select(dim, places.floor().long().clamp(max=size - 1))
    return input


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::_upsample_nearest_exact1d": _nearest_exact,
    "aten::_upsample_nearest_exact2d": _nearest_exact,
    "aten::_upsample_nearest_exact3d": _nearest_exact,
}
