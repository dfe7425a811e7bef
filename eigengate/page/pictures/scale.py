"""From numbers to places on a picture: linear, logarithmic, and signed logarithmic."""

import abc
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from eigengate.gate.wording import number

Tick = tuple[float, str]


@dataclass(frozen=True)
class Scale(abc.ABC):
    """Maps ``low`` to ``start`` and ``high`` to ``end``, and what lies outside to the nearer edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        a, b, v = self._bend(self.low), self._bend(self.high), self._bend(value)
        share = (v - a) / (b - a) if b > a else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    @abc.abstractmethod
    def _bend(self, value: float) -> float:
        """A monotone function of ``value`` in which places are linear."""

    @abc.abstractmethod
    def ticks(self) -> list[Tick]:
        """Round values with their texts."""


@final
class Linear(Scale):
    """Equal differences, equal distances."""

    def _bend(self, value: float) -> float:
        return value

    def ticks(self) -> list[Tick]:
        """Four to eight round values."""
        span = self.high - self.low
        if span <= 0:
            return [(self.low, number(self.low))]
        step = 10.0 ** math.floor(math.log10(span))
        step *= next(f for f in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (step * f) <= 8)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [((first + k) * step, number(round((first + k) * step, 12))) for k in range(count)]


@final
class Logarithmic(Scale):
    """Equal ratios, equal distances; what is not positive lies at the lower edge."""

    def _bend(self, value: float) -> float:
        return math.log10(max(value, self.low, 5e-324))

    def ticks(self) -> list[Tick]:
        """Powers of ten; with 2 and 5 between them where there are few."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, math.ceil((last - first) / 7))
        factors = (1, 2, 5) if self.high <= 200 * self.low else (1,)
        values = (f * 10.0**power for power in range(first, last + 1, every) for f in factors)
        inside = [v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]
        return [(value, number(value)) for value in inside]


@final
@dataclass(frozen=True)
class SignedLogarithmic(Scale):
    """Logarithmic on both sides of zero, linear within ``threshold``."""

    threshold: float = 1.0

    def _bend(self, value: float) -> float:
        return math.asinh(value / self.threshold)

    def ticks(self) -> list[Tick]:
        """Zero, and every second power of ten on either side."""
        first = math.ceil(math.log10(self.threshold))
        last = math.floor(math.log10(max(abs(self.low), abs(self.high), self.threshold)))
        every = max(1, math.ceil((last - first + 1) / 3))
        powers = [10.0**power for power in range(last, first - 1, -every)]
        values = [0.0, *powers, *(-power for power in powers)]
        return sorted((value, number(value)) for value in values if self.low <= value <= self.high)


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """The range of ``values`` with some room at both ends, never empty."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    room = share * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def decades(values: Iterable[float]) -> tuple[float, float]:
    """A range for a logarithmic axis around the positive ones of ``values``, at most twelve decades."""
    known = [value for value in values if value > 0] or [1.0]
    high = max(known) * 1.25
    low = max(min(known), high * 1e-12) / 1.25
    return low, high
