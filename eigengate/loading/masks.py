"""Constants that only switch something on and off."""

from typing import Final

from torch import Tensor

_LARGE: Final = 100.0  # what masks add to the scores they switch off is at least as large


def is_mask(value: Tensor) -> bool:
    """Whether a tensor holds two numbers only: one and zero, zero and minus one, or zero and a large negative one."""
    if value.numel() < 2:
        return False
    low, high = float(value.min()), float(value.max())
    takes_two_values = low < high and bool(((value == low) | (value == high)).all())
    return takes_two_values and high in (0.0, 1.0) and (low in (0.0, -1.0) or low <= -_LARGE)
