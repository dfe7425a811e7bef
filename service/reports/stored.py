"""A report as it lies in the database."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import Audit, StabilityReport, Verdict


@final
@dataclass(frozen=True)
class StoredReport:
    """The report's JSON exactly as it was recorded, and the verdict that was recorded with it."""

    audit: Audit
    sha256: str
    body: str
    verdict_body: str | None

    def report(self) -> StabilityReport:
        return StabilityReport.model_validate_json(self.body)

    def verdict(self) -> Verdict | None:
        return Verdict.model_validate_json(self.verdict_body) if self.verdict_body else None
