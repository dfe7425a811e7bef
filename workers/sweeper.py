"""What goes missing is looked for, and what nobody needs any more is thrown away."""

import logging
import threading
import time
from collections.abc import Callable
from typing import final

from service.audits.lease import Reclaimed
from service.audits.repository import AuditRepository
from service.context import Context
from service.retention import collect_garbage
from workers.work_root import WorkRoot

# Looking for files that nobody knows lists the whole store.
GARBAGE_EVERY_S = 600

logger = logging.getLogger(__name__)


@final
class Sweeper:
    """A thread that sweeps every so often. Any number of them may run at once: every step is one conditional change."""

    def __init__(self, context: Context, work_root: WorkRoot) -> None:
        self._context = context
        self._work_root = work_root
        self._garbage_due = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sweep_until_ended, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:  # it may never have been started
            self._thread.join()

    def sweep(self) -> None:
        """One round; a step that fails does not keep the others from running."""
        for step in (self._reclaim, self._expire, self._ring, self._tidy, self._collect_garbage):
            self._try(step)

    def ring_for_all(self) -> None:
        """Ring for everything that waits, as after a start with a broker that remembers nothing."""
        self._ring(older_than=0)

    def _sweep_until_ended(self) -> None:
        self.sweep()
        while not self._ended.wait(self._context.settings.sweep_seconds):
            self.sweep()

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            logger.warning("sweeping (%s) did not work; it is tried again", step.__name__, exc_info=True)

    def _reclaim(self) -> None:
        with self._context.database.session() as session:
            reclaimed = AuditRepository(session, self._context.settings.lease_terms).reclaim_expired()
        if reclaimed != Reclaimed((), (), ()):
            logger.warning("workers went silent: %s", reclaimed)

    def _expire(self) -> None:
        with self._context.database.session() as session:
            expired = AuditRepository(session).expire_queued(self._context.settings.queue_retention_s)
        if expired:
            logger.warning("waited too long: %s", expired)

    def _ring(self, older_than: float | None = None) -> None:
        if not self._context.doorbell.ping():
            return  # a bell that cannot be rung must not count as rung
        patience = self._context.settings.bell_seconds if older_than is None else older_than
        with self._context.database.session() as session:
            bells = AuditRepository(session).unanswered_bells(patience)
        for bell in bells:  # after the commit, as every bell
            self._context.doorbell.ring(bell.audit_id, bell.attempt)

    def _tidy(self) -> None:
        if removed := self._work_root.remove_stale():
            logger.info("removed what dead workers left: %s", removed)

    def _collect_garbage(self) -> None:
        if time.monotonic() >= self._garbage_due:
            self._garbage_due = time.monotonic() + GARBAGE_EVERY_S
            collect_garbage(self._context)
