"""What the pages' templates may show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from eigengate.contract import Audit


@final
@dataclass(frozen=True, kw_only=True)
class AuditLine:
    """One audit in the list.

    ``link`` leads to the page if there is a report, else to the audit; ``files`` names model and probe by the beginning
    of their digests; ``state`` is the verdict, or the status where there is none.
    """

    id: str
    link: str
    state: str
    files: str
    labels: str
    created_at: str

    @classmethod
    def of(cls, audit: Audit) -> Self:
        return cls(
            id=audit.id,
            link=audit.links.html if audit.status == "succeeded" else audit.links.self,
            state=audit.verdict or audit.status,
            files=f"{audit.model.format} {audit.model.sha256[:8]} · {audit.probe.format} {audit.probe.sha256[:8]}",
            labels=", ".join(f"{key}: {value}" for key, value in sorted(audit.labels.items())),
            created_at=f"{audit.created_at:%Y-%m-%d %H:%M:%S} UTC",
        )


@final
@dataclass(frozen=True, kw_only=True)
class HomePage:
    """The front page: ``version`` of Eigengate, the ``address`` it was asked at, and the newest ``audits``."""

    version: str
    address: str
    audits: Sequence[AuditLine]
