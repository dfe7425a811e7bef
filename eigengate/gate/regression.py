"""A condition of the kind "must not change by more than this against the baseline"."""

import math

from eigengate.contract import BaselineRule, Condition, ConditionResult
from eigengate.gate.finding import finding
from eigengate.gate.reading import Reading, stated
from eigengate.gate.wording import number


def against_baseline(condition: Condition, reading: Reading, baseline: Reading) -> ConditionResult:
    """Fail if the change exceeds every limit and the noise; undecided if it exceeds the limits within the noise."""
    rule = condition.baseline
    if rule is None:
        raise ValueError(f"condition {condition.id!r} has no baseline rule")
    change = reading.value - baseline.value
    noise = rule.beyond_noise * math.hypot(reading.half_width, baseline.half_width)
    said = f"{stated(reading)} against {stated(baseline)}: {_change_in_words(change, baseline.value)}"
    numbers = {"bound": "point", "baseline": baseline.value, "change": change, "noise": noise}
    if not _exceeds_limits(rule, change, baseline.value):
        return finding(condition, "pass", f"{said}, within the limits", reading, **numbers)
    if abs(change) <= noise:
        message = f"{said}, beyond the limits but within the noise {number(noise)}: too inexact to decide"
        return finding(condition, "indeterminate", message, reading, **numbers)
    return finding(condition, "fail", f"{said}, beyond the limits", reading, **numbers)


def _exceeds_limits(rule: BaselineRule, change: float, baseline: float) -> bool:
    increases = rule.max_relative_increase is not None or rule.max_absolute_increase is not None
    worse = change if increases else -change
    relative = rule.max_relative_increase if increases else rule.max_relative_decrease
    absolute = rule.max_absolute_increase if increases else rule.max_absolute_decrease
    # Multiplied out, so that a baseline of zero makes any worsening exceed a relative limit.
    limits = [
        limit for limit in (absolute, None if relative is None else relative * abs(baseline)) if limit is not None
    ]
    return all(worse > limit for limit in limits)


def _change_in_words(change: float, baseline: float) -> str:
    relative = f" ({100 * change / abs(baseline):+.3g} %)" if baseline else ""
    return f"changed by {change:+.4g}{relative}"
