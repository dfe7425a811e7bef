"""The workers' door to the database: one short transaction a call, and patience where a result is at stake."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TypeVar, final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eigengate.contract import AuditEvent
from service.audits.lease import Claim, LeaseTerms, RenewAnswer
from service.audits.repository import AuditRepository
from service.database import Database
from workers.outcome import Abandoned, Cancelled, Failed, Lost, Outcome, Released, Succeeded

T = TypeVar("T")

# A database that restarts or fails over is back within a minute; a measured result is worth the wait.
PAUSES_S = (0.1, 0.5, 1, 2, 5, 10, 20, 20)

logger = logging.getLogger(__name__)


@final
class Records:
    """Claims, renews and finishes audits for one named worker."""

    def __init__(self, database: Database, terms: LeaseTerms, worker: str) -> None:
        self._database = database
        self._terms = terms
        self._worker = worker

    def claim(self, audit_id: str) -> Claim | None:
        return self._patiently(lambda audits: audits.claim(audit_id, self._worker))

    def beat(self, claim: Claim, events: Iterable[AuditEvent]) -> RenewAnswer:
        """Renew the lease and append events; not repeated on failure, the next beat is."""

        def renew(audits: AuditRepository) -> RenewAnswer:
            answer = audits.renew(claim)
            if answer.still_mine:
                for event in events:
                    audits.record_event(claim, event)
            return answer

        return self._once(renew)

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """Write what came of the audit; false if the claim is no longer ours, and then nothing was written."""
        return self._patiently(lambda audits: _write(audits, claim, outcome))

    def _once(self, work: Callable[[AuditRepository], T]) -> T:
        with self._database.session() as session:
            return work(AuditRepository(session, self._terms))

    def _patiently(self, work: Callable[[AuditRepository], T]) -> T:
        for pause in PAUSES_S:
            try:
                return self._once(work)
            except (OperationalError, InterfaceError, PoolTimeoutError):
                logger.warning("the database does not answer; trying again in %g s", pause, exc_info=True)
                time.sleep(pause)
        return self._once(work)


def _write(audits: AuditRepository, claim: Claim, outcome: Outcome) -> bool:
    match outcome:
        case Succeeded(report, verdict):
            return audits.finish_succeeded(claim, report.model_dump_json(), verdict)
        case Failed(error):
            return audits.finish_failed(claim, error)
        case Lost(error):
            return audits.retry(claim) or audits.finish_failed(claim, error)
        case Cancelled():
            return audits.finish_cancelled(claim)
        case Released():
            return audits.release(claim)
        case Abandoned():
            return False
