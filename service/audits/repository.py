"""The record of audits, and every step an audit can take from one status to the next.

    queued ──claim──► running ──finish──► succeeded | failed | cancelled
      │  ▲               │  └──cancel──► cancelling ──finish──► the same
      │  └─release,retry─┘
      └──cancel──► cancelled      └──too old──► expired

Each step is one conditional UPDATE, so of two that try, one succeeds; a terminal status has no step out of it. A
worker's steps carry the token of its claim: after another claim they match no row, and the late twin is told so.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, final

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, aliased

from eigengate.contract import (
    TERMINAL_STATUSES,
    AuditError,
    AuditEvent,
    AuditRequest,
    AuditStatus,
    FinishedEvent,
    Policy,
    ProgressEvent,
    StageEvent,
    Verdict,
    VerdictOutcome,
)
from eigengate.contract.events import audit_event
from service.artifacts.tables import ArtifactRow
from service.audits.cursor import Cursor
from service.audits.lease import Bell, Claim, LeaseTerms, Reclaimed, RenewAnswer
from service.audits.records import StoredAudit, claim_of, stored_audit
from service.audits.tables import AuditRow, EventRow, LabelRow, ReportRow
from service.database import now_ms

MAX_EVENTS = 2000
_MAX_DOUBLINGS = 4

_model, _probe = aliased(ArtifactRow), aliased(ArtifactRow)
_AUDITS = (
    select(AuditRow, _model, _probe)
    .join(_model, _model.sha256 == AuditRow.model_sha256)
    .join(_probe, _probe.sha256 == AuditRow.probe_sha256)
    .execution_options(populate_existing=True)  # updates below pass the identity map by
)
_PASS_BY = {"synchronize_session": False}
_HELD: tuple[AuditStatus, ...] = ("running", "cancelling")
_LOST = AuditError(
    code="worker_lost",
    title="The worker was lost",
    detail="The worker that ran the audit went silent on the last attempt.",
    hint="Submit the audit again; if it happens again, the model probably exhausts the machine.",
    retriable=True,
)
_EXPIRED = AuditError(
    code="expired",
    title="The audit waited too long",
    detail="No worker took the audit before it expired.",
    hint="See that a worker is running, then submit the audit again.",
    retriable=True,
)


@final
class AuditRepository:
    """Reads and writes audits within one transaction."""

    def __init__(self, session: Session, lease: LeaseTerms | None = None) -> None:
        self._session = session
        self._lease = lease or LeaseTerms()

    # What callers of the service do

    def create(self, request: AuditRequest) -> str:
        """Queue an audit of two recorded files; its id. Its bell counts as rung: ring it right after the commit."""
        audit_id = f"aud_{secrets.token_hex(16)}"
        policy = request.policy.model_dump_json(by_alias=True) if request.policy else None
        values = {
            "id": audit_id,
            "version": 1,
            "status": "queued",
            "created_at": now_ms(),
            "attempt": 0,
            "rung_at": now_ms(),
            "rings": 0,
            "events": 0,
            "model_sha256": request.model,
            "probe_sha256": request.probe,
            "config": request.config.model_dump_json(),
            "policy": policy,
        }
        self._session.execute(insert(AuditRow).values(values))
        labels = [{"audit_id": audit_id, "key": key, "value": value} for key, value in request.labels.items()]
        if labels:
            self._session.execute(insert(LabelRow), labels)
        return audit_id

    def get(self, audit_id: str) -> StoredAudit | None:
        found = self._session.execute(_AUDITS.where(AuditRow.id == audit_id)).one_or_none()
        return self._shown([found])[0] if found else None

    def list(
        self,
        *,
        status: AuditStatus | None = None,
        verdict: VerdictOutcome | None = None,
        labels: Mapping[str, str] | None = None,
        after: Cursor | None = None,
        limit: int = 50,
    ) -> tuple[Sequence[StoredAudit], Cursor | None]:
        """Audits, newest first, and the cursor of the following page if there is one."""
        query = _AUDITS.order_by(AuditRow.created_at.desc(), AuditRow.id.desc()).limit(limit + 1)
        if status is not None:
            query = query.where(AuditRow.status == status)
        if verdict is not None:
            query = query.where(AuditRow.verdict == verdict)
        for key, value in (labels or {}).items():
            query = query.where(
                exists().where(LabelRow.audit_id == AuditRow.id, LabelRow.key == key, LabelRow.value == value)
            )
        if after is not None:
            query = query.where(tuple_(AuditRow.created_at, AuditRow.id) < tuple_(after.created_at, after.id))
        rows = self._session.execute(query).all()
        last = rows[limit - 1][0] if len(rows) > limit else None
        return self._shown(rows[:limit]), Cursor(last.created_at, last.id) if last else None

    def queue_length(self) -> int:
        return self._session.scalar(select(func.count()).where(AuditRow.status == "queued")) or 0

    def cancel(self, audit_id: str) -> bool:
        """Ask that the audit stop: at once if it is queued, soon if it is running; whether that changed anything."""
        waits = AuditRow.status == "queued"
        stopped = update(AuditRow).where(AuditRow.id == audit_id, AuditRow.status.in_(("queued", "running")))
        stopped = stopped.values(
            version=AuditRow.version + 1,
            status=case((waits, "cancelled"), else_="cancelling"),
            finished_at=case((waits, now_ms()), else_=None),
        )
        status = self._session.scalar(stopped.returning(AuditRow.status), execution_options=_PASS_BY)
        if status == "cancelled":
            self._append(audit_id, FinishedEvent(status=status))
        return status is not None

    def delete(self, audit_id: str) -> tuple[str, ...]:
        """Delete the audit with its events and report; digests of the files it used, none if there is no such audit."""
        gone = delete(AuditRow).where(AuditRow.id == audit_id)
        row = self._session.execute(gone.returning(AuditRow.model_sha256, AuditRow.probe_sha256)).one_or_none()
        return tuple(row) if row else ()

    def events(self, audit_id: str, *, after: int = 0) -> Sequence[tuple[int, AuditEvent]]:
        """The audit's events with their numbers, from the one behind ``after``."""
        query = select(EventRow.number, EventRow.body).where(EventRow.audit_id == audit_id, EventRow.number > after)
        rows = self._session.execute(query.order_by(EventRow.number))
        return [(number, audit_event.validate_json(body)) for number, body in rows]

    def policy(self, audit_id: str) -> Policy | None:
        """The policy the audit was submitted with."""
        text = self._session.scalar(select(AuditRow.policy).where(AuditRow.id == audit_id))
        return Policy.model_validate_json(text) if text else None

    def report(self, audit_id: str) -> ReportRow | None:
        return self._session.get(ReportRow, audit_id)

    # What workers do

    def claim(self, audit_id: str, worker: str) -> Claim | None:
        """Take the audit if it waits, or if whoever had it went silent; null if there is nothing to take."""
        silent = and_(AuditRow.status == "running", AuditRow.lease_until < now_ms())
        taken = self._change(
            AuditRow.id == audit_id,
            or_(AuditRow.status == "queued", silent),
            AuditRow.attempt < self._lease.max_attempts,
            status="running",
            attempt=AuditRow.attempt + 1,
            token=secrets.token_hex(16),
            worker=worker,
            started_at=func.coalesce(AuditRow.started_at, now_ms()),
            lease_until=self._lease_end(),
        )
        if not taken:
            return None
        row, model, probe = self._session.execute(_AUDITS.where(AuditRow.id == audit_id)).one()
        return claim_of(row, model, probe, max_attempts=self._lease.max_attempts)

    def renew(self, claim: Claim) -> RenewAnswer:
        """Keep the audit for another lease. Not a change that anyone sees, so the version stays."""
        kept = update(AuditRow).where(*self._held_by(claim)).values(lease_until=self._lease_end())
        status = self._session.scalar(kept.returning(AuditRow.status), execution_options=_PASS_BY)
        return RenewAnswer(still_mine=status is not None, cancel_requested=status == "cancelling")

    def record_event(self, claim: Claim, event: AuditEvent) -> bool:
        """Append the event to the audit's log, and show its stage or progress on the audit."""
        shown: dict[str, Any] = {}
        if isinstance(event, StageEvent):
            shown = {"stage": _plain(event.stage), "progress": None}
        elif isinstance(event, ProgressEvent):
            shown = {"stage": _plain(event.stage), "progress": event.model_dump_json(exclude={"kind"})}
        changed = self._change(*self._held_by(claim), **shown)
        # The log has an end, so that no model can fill the disk by talking; the last place is kept for the end.
        if changed and self._events_of(claim.audit_id) < MAX_EVENTS - 1:
            self._append(claim.audit_id, event)
        return bool(changed)

    def finish_succeeded(self, claim: Claim, report_json: str, verdict: Verdict | None) -> bool:
        """Store report and verdict, once."""
        outcome = verdict.outcome if verdict else None
        if not self._end(*self._held_by(claim), status="succeeded", verdict=outcome):
            return False
        values = {
            "audit_id": claim.audit_id,
            "sha256": hashlib.sha256(report_json.encode()).hexdigest(),
            "body": report_json,
            "verdict": verdict.model_dump_json() if verdict else None,
        }
        self._session.execute(insert(ReportRow).values(values))
        return True

    def finish_failed(self, claim: Claim, error: AuditError) -> bool:
        """The audit failed for good; see ``retry`` for what another attempt may mend."""
        return bool(self._end(*self._held_by(claim), status="failed", error=error.model_dump_json()))

    def finish_cancelled(self, claim: Claim) -> bool:
        return bool(self._end(*self._held_by(claim), status="cancelled"))

    def release(self, claim: Claim) -> bool:
        """Give the audit back unharmed, as a worker that shuts down does: the attempt is not charged."""
        return self._requeue(claim, attempt=AuditRow.attempt - 1)

    def retry(self, claim: Claim) -> bool:
        """Queue the audit again with this attempt charged; false too if that was the last attempt."""
        return not claim.last_attempt and self._requeue(claim, attempt=AuditRow.attempt)

    # What the sweeper does

    def unanswered_bells(self, older_than: float, *, limit: int = 100) -> Sequence[Bell]:
        """Audits to ring for, oldest first, marked as rung: no bell for them was answered for ``older_than`` seconds.

        Each further ring waits twice as long, up to sixteen times, since the workers may just be busy; released and
        reclaimed audits are rung at once. ``older_than=0`` rings for everything, as after a restart of the broker.
        """
        waited, patience = now_ms() - AuditRow.rung_at, int(older_than * 1000)
        doublings = case((AuditRow.rings < _MAX_DOUBLINGS, AuditRow.rings), else_=_MAX_DOUBLINGS)
        due = or_(AuditRow.rung_at.is_(None), waited >= patience * literal(1).bitwise_lshift(doublings))
        oldest = select(AuditRow.id).where(AuditRow.status == "queued", due).order_by(AuditRow.created_at).limit(limit)
        ids = self._session.scalars(oldest).all()
        rung = update(AuditRow).where(AuditRow.id.in_(ids), AuditRow.status == "queued")
        rung = rung.values(rung_at=now_ms(), rings=AuditRow.rings + 1)
        rows = self._session.execute(rung.returning(AuditRow.id, AuditRow.attempt), execution_options=_PASS_BY)
        return [Bell(audit_id, attempt) for audit_id, attempt in rows]

    def reclaim_expired(self) -> Reclaimed:
        """Take audits back from workers that went silent: queued again, or failed if there is no attempt left."""
        return self._reclaim(AuditRow.lease_until < now_ms())

    def reclaim_all(self) -> Reclaimed:
        """The same for every claimed audit, as at a start where no worker can be alive."""
        return self._reclaim(true())

    def expire_queued(self, older_than: float) -> Sequence[str]:
        """End audits that waited for more than ``older_than`` seconds; their ids."""
        old = AuditRow.created_at < now_ms() - int(older_than * 1000)
        return self._end(AuditRow.status == "queued", old, status="expired", error=_EXPIRED.model_dump_json())

    def finished(self, *, older_than: float, limit: int = 100) -> Sequence[str]:
        """Ids of audits that were over ``older_than`` seconds ago."""
        old = AuditRow.finished_at < now_ms() - int(older_than * 1000)
        return self._session.scalars(
            select(AuditRow.id).where(AuditRow.status.in_(TERMINAL_STATUSES), old).limit(limit)
        ).all()

    # Steps

    def _reclaim(self, silent: ColumnElement[bool]) -> Reclaimed:
        cancelled = self._end(AuditRow.status == "cancelling", silent, status="cancelled")
        worn_out = AuditRow.attempt >= self._lease.max_attempts
        failed = self._end(
            AuditRow.status == "running", silent, worn_out, status="failed", error=_LOST.model_dump_json()
        )
        # A lease may run out between the two statements: without the last condition that would be an attempt too many.
        requeued = self._change(AuditRow.status == "running", silent, ~worn_out, **_UNCLAIMED)
        return Reclaimed(tuple(requeued), tuple(failed), tuple(cancelled))

    def _held_by(self, claim: Claim) -> tuple[ColumnElement[bool], ...]:
        return AuditRow.id == claim.audit_id, AuditRow.token == claim.token, AuditRow.status.in_(_HELD)

    def _lease_end(self) -> ColumnElement[int]:
        return now_ms() + int(self._lease.seconds * 1000)

    def _change(self, *where: ColumnElement[bool], **values: Any) -> Sequence[str]:
        """Change every matching audit; the ids of those that matched."""
        changed = update(AuditRow).where(*where).values(version=AuditRow.version + 1, **values)
        return self._session.scalars(changed.returning(AuditRow.id), execution_options=_PASS_BY).all()

    def _end(self, *where: ColumnElement[bool], status: AuditStatus, **values: Any) -> Sequence[str]:
        ended = self._change(
            *where, status=status, finished_at=now_ms(), token=None, lease_until=None, progress=None, **values
        )
        for audit_id in ended:
            self._append(audit_id, FinishedEvent(status=status, verdict=values.get("verdict")))
        return ended

    def _requeue(self, claim: Claim, *, attempt: Any) -> bool:
        """Queue a held audit again, or end it if it was to be cancelled anyway."""
        mine = self._held_by(claim)
        if self._end(*mine, AuditRow.status == "cancelling", status="cancelled"):
            return True
        return bool(self._change(*mine, AuditRow.status == "running", **{**_UNCLAIMED, "attempt": attempt}))

    def _events_of(self, audit_id: str) -> int:
        return self._session.scalar(select(AuditRow.events).where(AuditRow.id == audit_id)) or 0

    def _append(self, audit_id: str, event: AuditEvent) -> None:
        counted = update(AuditRow).where(AuditRow.id == audit_id).values(events=AuditRow.events + 1)
        number = self._session.scalar(counted.returning(AuditRow.events), execution_options=_PASS_BY)
        body = event.model_dump_json()
        self._session.execute(insert(EventRow).values(audit_id=audit_id, number=number, body=body))

    def _shown(self, rows: Sequence[Row[AuditRow, ArtifactRow, ArtifactRow]]) -> Sequence[StoredAudit]:
        labels: dict[str, dict[str, str]] = {row.id: {} for row, _, _ in rows}
        for label in self._session.scalars(select(LabelRow).where(LabelRow.audit_id.in_(labels))):
            labels[label.audit_id][label.key] = label.value
        return [stored_audit(row, model, probe, labels[row.id]) for row, model, probe in rows]


_UNCLAIMED: dict[str, Any] = {
    "status": "queued",
    "token": None,
    "worker": None,
    "lease_until": None,
    "stage": None,
    "progress": None,
    "rung_at": None,
    "rings": 0,
}


def _plain(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd")[:200]
