"""What a policy says of a report."""

from datetime import date
from typing import Annotated, Literal, final

from pydantic import Field

from eigengate.contract.base import Contract, Items
from eigengate.contract.policy import Level, Operator

VerdictOutcome = Literal["pass", "warn", "fail", "indeterminate"]
ConditionStatus = Literal["pass", "fail", "indeterminate", "missing", "waived", "skipped", "off"]


@final
class ConditionResult(Contract):
    """One condition judged: what was expected, what was found, which bound was used, and what to do.

    ``status`` is the finding; ``effect`` is what it means for the outcome once the level is taken into account, null
    where it means nothing. ``low`` and ``high`` are the error interval of ``actual``; ``noise`` is what ``change``
    against ``baseline`` must exceed to count.
    """

    id: str
    metric: str
    status: ConditionStatus
    effect: VerdictOutcome | None
    level: Level
    expected: str
    op: Operator | None = None
    threshold: float | None = None
    actual: float | None = None
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
