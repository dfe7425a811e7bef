"""Operands for cases: every draw from one seeded stream, so that cases do not share numbers by accident."""

import zlib
from typing import Any

import numpy as np


class Draws:
    """Arrays for the case of a name; the same name always draws the same."""

    def __init__(self, name: str) -> None:
        self._generator = np.random.default_rng(zlib.crc32(name.encode()))

    def real(self, *shape: int) -> np.ndarray:
        return self._generator.standard_normal(shape, dtype=np.float32)

    def scale(self, *shape: int) -> np.ndarray:
        """Positive, away from zero, as the scales of a normalisation are."""
        return np.asarray(self._generator.uniform(0.5, 1.5, shape), dtype=np.float32)


def int32(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def int64(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def mask(*rows: str) -> np.ndarray:
    """Rows of ones and zeros, written as text."""
    return np.array([[int(digit) for digit in row] for row in rows], np.int32)
