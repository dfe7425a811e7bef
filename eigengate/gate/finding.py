"""What looking at one condition found, before levels and waivers say what it means."""

from typing import Any

from eigengate.contract import Condition, ConditionResult, ConditionStatus
from eigengate.gate.reading import Reading
from eigengate.gate.wording import expectation


def finding(
    condition: Condition, status: ConditionStatus, message: str, reading: Reading | None = None, **numbers: Any
) -> ConditionResult:
    """A result without effect yet; ``numbers`` are further fields of ``ConditionResult``."""
    return ConditionResult(
        id=condition.id,
        metric=condition.metric,
        status=status,
        effect=None,
        level=condition.level,
        expected=expectation(condition),
        op=condition.op,
        threshold=condition.threshold,
        actual=reading.value if reading else None,
        low=reading.low if reading else None,
        high=reading.high if reading else None,
        message=message,
        advice=condition.advice,
        **numbers,
    )
