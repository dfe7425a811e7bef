"""A condition of the kind "metric op threshold"."""

import operator
from collections.abc import Callable
from typing import Literal

from eigengate.contract import Condition, ConditionResult
from eigengate.gate.finding import finding
from eigengate.gate.reading import Reading, stated
from eigengate.gate.wording import number

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}


def against_threshold(condition: Condition, reading: Reading) -> ConditionResult:
    """Pass if the chosen end of the interval holds; a pessimistic condition is undecided if only the other end does."""
    if condition.op is None or condition.threshold is None:
        raise ValueError(f"condition {condition.id!r} has no threshold")
    op, threshold = condition.op, condition.threshold
    pessimistic: Literal["upper", "lower"] = "upper" if op in ("<=", "<") else "lower"
    bound = pessimistic if condition.use == "pessimistic" else condition.use
    optimistic_end = reading.low if pessimistic == "upper" else reading.high
    demand = f"{op} {number(threshold)}"
    if _HOLDS[op](_end(reading, bound), threshold):
        return finding(condition, "pass", f"{stated(reading)} satisfies {demand}", reading, bound=bound)
    if condition.use == "pessimistic" and _HOLDS[op](optimistic_end, threshold):
        message = f"the error interval of {stated(reading)} straddles {number(threshold)}: too inexact to decide"
        return finding(condition, "indeterminate", message, reading, bound=bound)
    return finding(condition, "fail", f"{stated(reading)} does not satisfy {demand}", reading, bound=bound)


def _end(reading: Reading, bound: Literal["upper", "lower", "point"]) -> float:
    return {"upper": reading.high, "lower": reading.low, "point": reading.value}[bound]
