"""What came of one claimed audit."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import AuditError, StabilityReport, Verdict


@final
@dataclass(frozen=True)
class Succeeded:
    """Measured, and judged if its policy could be applied."""

    report: StabilityReport
    verdict: Verdict | None


@final
@dataclass(frozen=True)
class Failed:
    """It cannot be measured, now or ever."""

    error: AuditError


@final
@dataclass(frozen=True)
class Lost:
    """It failed for no fault that is known to be the model's: worth another attempt if there is one left."""

    error: AuditError


@final
@dataclass(frozen=True)
class Cancelled:
    """The caller no longer wants it."""


@final
@dataclass(frozen=True)
class Released:
    """Given back because the worker stops; the attempt does not count."""


@final
@dataclass(frozen=True)
class Abandoned:
    """The claim is another worker's by now; there is nothing to write."""


Outcome = Succeeded | Failed | Lost | Cancelled | Released | Abandoned
