"""What a policy says of a report."""

from datetime import date
from typing import Annotated, Literal, final

from pydantic import Field

from eigengate.contract.base import Contract, Items
from eigengate.contract.policy import Level

VerdictOutcome = Literal["pass", "warn", "fail", "indeterminate"]
ConditionStatus = Literal["pass", "fail", "warn", "indeterminate", "missing", "waived", "skipped", "off"]


@final
class ConditionResult(Contract):
    """One condition judged: what was expected, what was found, which bound was used, and what to do."""

    id: str
    metric: str
    status: ConditionStatus
    level: Level
    expected: str
    actual: float | None
    low: float | None = None
    high: float | None = None
    bound: Literal["upper", "lower", "point"] | None = None
    baseline: float | None = None
    change: float | None = None
    noise: float | None = None
    message: str
    advice: str | None = None


@final
class Verdict(Contract):
    """The outcome and every condition; a pure function of the hashed inputs and ``judged_on``."""

    outcome: VerdictOutcome
    mode: Literal["enforce", "inspect"]
    conditions: Items[ConditionResult]
    summary: str
    warnings: Items[str] = ()
    report_sha256: str
    policy_sha256: str
    baseline_sha256: str | None = None
    judged_on: Annotated[date, Field(strict=False)]
