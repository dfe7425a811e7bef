"""The numbers that torch.export writes for types, layouts and memory formats."""

from collections.abc import Mapping
from typing import Final

import torch

DTYPES: Final[Mapping[int, torch.dtype]] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    9: torch.complex32,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
}
"""Other types exist (8-bit floating point, wide unsigned integers); no network that we can differentiate has them."""

CODES: Final[Mapping[torch.dtype, int]] = {dtype: code for code, dtype in DTYPES.items()}

STRIDED: Final = 7
"""The one layout that is no sparse or foreign one."""

MEMORY_FORMATS: Final[Mapping[int, torch.memory_format]] = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
