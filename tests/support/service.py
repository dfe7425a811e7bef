"""A service to test: a bell that remembers, and the hand of a worker that measures nothing."""

from pathlib import Path
from typing import Any

from eigengate.contract import AuditError, AuditEvent, StabilityReport, Verdict
from eigengate.gate import judge, load_policy
from service.audits.lease import Claim
from service.audits.repository import AuditRepository
from service.database import Database
from tests.support.reports import make_report
from tests.support.uploads import NPZ, ONNX


class RecordingBell:
    """Notes whom it rang for; ``answers`` is whether the broker does."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, int]] = []
        self.answers = True

    def ring(self, audit_id: str, attempt: int) -> bool:
        self.rung.append((audit_id, attempt))
        return self.answers

    def ping(self) -> bool:
        return self.answers


class WorkerHand:
    """Does with an audit what a worker would, without running anything."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def claim(self, audit_id: str) -> Claim:
        with self.database.session() as session:
            claim = AuditRepository(session).claim(audit_id, "hand")
        assert claim is not None
        return claim

    def tell(self, claim: Claim, *events: AuditEvent) -> None:
        with self.database.session() as session:
            for event in events:
                assert AuditRepository(session).record_event(claim, event)

    def succeed(
        self, audit_id: str, report: StabilityReport | None = None, policy: str | bytes = "builtin:recommended"
    ) -> Verdict:
        claim = self.claim(audit_id)
        report = report or make_report()
        verdict = judge(report, claim.policy or load_policy(policy))
        with self.database.session() as session:
            assert AuditRepository(session).finish_succeeded(claim, report.model_dump_json(), verdict)
        return verdict

    def fail(self, audit_id: str, error: AuditError) -> None:
        claim = self.claim(audit_id)
        with self.database.session() as session:
            assert AuditRepository(session).finish_failed(claim, error)


def form(model: bytes = ONNX, probe: bytes = NPZ, **fields: str) -> dict[str, Any]:
    """Arguments of a multipart request that submits an audit."""
    return {"files": {"model": ("model.bin", model), "probe": ("probe.bin", probe)}, "data": fields}


def leftovers(data_dir: Path) -> list[Path]:
    """Files of uploads in a data directory, whole or in part."""
    return [path for folder in ("blobs", "staging") for path in (data_dir / folder).rglob("*") if path.is_file()]
