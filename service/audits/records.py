"""Rows of audits as the shapes of the contract."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import final

from eigengate.contract import (
    TERMINAL_STATUSES,
    ArtifactInfo,
    Audit,
    AuditConfig,
    AuditError,
    AuditLinks,
    Policy,
    Progress,
)
from service.artifacts.tables import ArtifactRow
from service.audits.lease import Claim
from service.audits.tables import AuditRow

PATH = "/v1/audits"


@final
@dataclass(frozen=True)
class StoredAudit:
    """An audit and the number of its version, which rises with every change."""

    audit: Audit
    version: int

    @property
    def over(self) -> bool:
        return self.audit.status in TERMINAL_STATUSES


def stored_audit(row: AuditRow, model: ArtifactRow, probe: ArtifactRow, labels: dict[str, str]) -> StoredAudit:
    """The row as an audit, with links to its resources."""
    values = {
        "id": row.id,
        "status": row.status,
        "stage": row.stage,
        "progress": Progress.model_validate_json(row.progress) if row.progress else None,
        "verdict": row.verdict,
        "created_at": _time(row.created_at),
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "attempt": row.attempt,
        "model": artifact_info(model),
        "probe": artifact_info(probe),
        "config": AuditConfig.model_validate_json(row.config),
        "labels": labels,
        "error": AuditError.model_validate_json(row.error) if row.error else None,
        "links": links(row.id),
    }
    return StoredAudit(Audit.model_validate(values), row.version)


def links(audit_id: str) -> AuditLinks:
    path = f"{PATH}/{audit_id}"
    return AuditLinks(
        self=path,
        report=f"{path}/report",
        html=f"{path}/report?format=html",
        events=f"{path}/events",
        cancel=f"{path}/cancel",
        verdict=f"{path}/verdict",
    )


def claim_of(row: AuditRow, model: ArtifactRow, probe: ArtifactRow, *, max_attempts: int) -> Claim:
    """What the worker that has just claimed the row needs to know."""
    assert row.token is not None
    assert row.worker is not None
    return Claim(
        audit_id=row.id,
        token=row.token,
        worker=row.worker,
        attempt=row.attempt,
        last_attempt=row.attempt >= max_attempts,
        model=artifact_info(model),
        probe=artifact_info(probe),
        config=AuditConfig.model_validate_json(row.config),
        policy=Policy.model_validate_json(row.policy) if row.policy else None,
    )


def artifact_info(row: ArtifactRow) -> ArtifactInfo:
    return ArtifactInfo(sha256=row.sha256, size=row.size, format=row.format)


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
