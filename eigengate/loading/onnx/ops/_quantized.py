"""What operators on quantised numbers share: how scales spread over a tensor, how results return to their type."""

import torch
from torch import Tensor


def spread(values: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Scales or zero points so that they broadcast against x: one, one per index along the axis, or one per block."""
    if values.numel() == 1:
        return values.reshape(())
    if block_size:
        return values.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    shape = [1] * x.ndim
    # The default axis is 1 even where there is no second axis.
    shape[axis if x.ndim > 1 else 0] = -1
    return values.reshape(shape)


def saturated(steps: Tensor, zero_point: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The steps rounded to whole ones, halves to the even, from the zero point on, kept within the integer type."""
    # float32 holds every number of at most 16 bits, and their sums.
    wide = torch.promote_types(steps.dtype, torch.float32)
    whole = torch.round(steps).to(wide)
    if zero_point is not None:
        whole = whole + zero_point.to(wide)
    limits = torch.iinfo(dtype)
    return torch.clamp(whole, limits.min, limits.max).to(dtype)


def exact(x: Tensor, zero_point: Tensor | None) -> Tensor:
    """x − zero_point in float64, in which sums of products of eight-bit integers are exact on every device."""
    wide = x.to(torch.float64)
    return wide if zero_point is None else wide - zero_point.to(torch.float64)


def as_int32(whole: Tensor) -> Tensor:
    """Whole numbers in 32 bits, wrapping around where they do not fit.

    Rounded first, because a device may multiply by transforms that leave something behind the point.
    """
    return torch.round(whole).to(torch.int64).to(torch.int32)
