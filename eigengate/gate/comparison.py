"""Two reports side by side: what changed, by how much, and what must not be compared."""

import math
from typing import final

from eigengate.contract import Direction, Measurement, StabilityReport
from eigengate.contract.base import Contract, Items
from eigengate.gate.comparability import why_not_comparable


@final
class MetricChange(Contract):
    """One metric in both reports; ``change`` is b - a, null with ``refused`` saying why where it has no meaning.

    ``noise`` is the half-width of the combined numerical error; a change within it is none.
    """

    name: str
    unit: str
    direction: Direction
    a: float | None
    b: float | None
    change: float | None = None
    relative: float | None = None
    noise: float | None = None
    refused: str | None = None

    @property
    def assessment(self) -> str:
        """``stabler``, ``less stable``, ``changed`` (neutral), ``same`` (within the noise) or ``not comparable``."""
        if self.change is None:
            return "not comparable"
        if abs(self.change) <= (self.noise or 0.0):
            return "same"
        if self.direction == "neutral":
            return "changed"
        return "stabler" if (self.change < 0) == (self.direction == "lower_is_stabler") else "less stable"


@final
class Comparison(Contract):
    """Every metric of either report, in the order of the first."""

    a_model: str
    b_model: str
    same_probe: bool
    changes: Items[MetricChange]


def compare_reports(a: StabilityReport, b: StabilityReport) -> Comparison:
    """How ``b`` differs from ``a``, metric by metric."""
    before = {measurement.name: measurement for measurement in a.measurements}
    after = {measurement.name: measurement for measurement in b.measurements}
    return Comparison(
        a_model=a.model.sha256,
        b_model=b.model.sha256,
        same_probe=a.probe.sha256 == b.probe.sha256,
        changes=tuple(_change(name, before, after, a, b) for name in {**before, **after}),
    )


def _change(
    name: str, before: dict[str, Measurement], after: dict[str, Measurement], a: StabilityReport, b: StabilityReport
) -> MetricChange:
    first, second = before.get(name), after.get(name)
    either = second or first
    assert either is not None
    value_a, value_b = first.value if first else None, second.value if second else None
    refused = _unmeasured("first", first) or _unmeasured("second", second) or why_not_comparable(name, b, a)
    known = MetricChange(name=name, unit=either.unit, direction=either.direction, a=value_a, b=value_b, refused=refused)
    if refused is not None or first is None or second is None or value_a is None or value_b is None:
        return known
    change = value_b - value_a
    relative = change / abs(value_a) if value_a else None
    noise = math.hypot(_half_width(first), _half_width(second))
    return known.model_copy(update={"change": change, "relative": relative, "noise": noise})


def _unmeasured(which: str, measurement: Measurement | None) -> str | None:
    if measurement is None:
        return f"the {which} report does not have it"
    if measurement.outcome != "ok":
        return f"{measurement.outcome.replace('_', ' ')} in the {which} report"
    return None


def _half_width(measurement: Measurement) -> float:
    bars, value = measurement.error.numerical, measurement.value
    if bars is None or value is None:
        return 0.0
    return max(bars.high - value, value - bars.low, 0.0)
