"""Taking one number with its error out of a report, or saying why that is impossible."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import Condition, Measurement, StabilityReport
from eigengate.gate.wording import interval, number


@final
@dataclass(frozen=True)
class Reading:
    """A value inside its error interval: ``low <= value <= high``."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The larger of the two distances to the interval's ends."""
        return max(self.high - self.value, self.value - self.low)


@final
@dataclass(frozen=True)
class Missing:
    """The report has no such number."""

    reason: str


@final
@dataclass(frozen=True)
class TooLittle:
    """There is a number, but the evidence behind it is less than the condition asks for."""

    reason: str
    reading: Reading


def read(report: StabilityReport, condition: Condition) -> Reading | Missing | TooLittle:
    """The number ``condition`` speaks of, with the error it wants counted."""
    measurement = next((m for m in report.measurements if m.name == condition.metric), None)
    if measurement is None:
        return Missing(f"the report has no {condition.metric}")
    if measurement.outcome != "ok":
        because = f": {measurement.detail}" if measurement.detail else ""
        return Missing(f"{condition.metric} is {measurement.outcome.replace('_', ' ')}{because}")
    value = report.value(condition.metric, condition.reduce)
    if value is None:
        return Missing(f"{condition.metric} has no {condition.reduce}: it is one number, not one per sample")
    reading = _with_error(measurement, value, condition)
    samples = measurement.summary.n if measurement.summary else report.probe.used
    if samples < condition.min_samples:
        return TooLittle(f"{samples} samples are too few, the condition asks for {condition.min_samples}", reading)
    if condition.sampling and measurement.error.sampling is None:
        return TooLittle(f"sampling error counts here, but {condition.metric} has no sampling interval", reading)
    return reading


def _with_error(measurement: Measurement, value: float, condition: Condition) -> Reading:
    # Error bars are those of the mean; an order statistic has none of its own and stands as it is.
    if condition.reduce not in ("value", "mean"):
        return Reading(value, value, value)
    below = above = 0.0
    for bars in (measurement.error.numerical, measurement.error.sampling if condition.sampling else None):
        if bars is not None:
            # The two errors are independent causes: their widths add, so that both may be at their worst.
            below += max(0.0, value - bars.low)
            above += max(0.0, bars.high - value)
    return Reading(value, value - below, value + above)


def stated(reading: Reading) -> str:
    """The value, with its interval where it has one."""
    return f"{number(reading.value)} {interval(reading.low, reading.high)}".strip()
