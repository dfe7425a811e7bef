"""The hold a worker has on an audit, renewed in a thread of its own while the audit runs."""

import logging
import threading
import time
from typing import Literal, Self, final

from service.audits.lease import Claim
from workers.records import Records
from workers.relay import Relay

StopReason = Literal["cancelled", "lost"]

logger = logging.getLogger(__name__)


@final
class Lease:
    """Renews a claim every beat, writes what the relay holds, and learns whether the audit should stop.

    The database may be slow or away; the supervising thread must not be, so it only reads ``stop_reason``. When no
    renewal has succeeded for as long as the lease lasts, another worker may have the audit: it counts as lost.
    """

    def __init__(self, records: Records, claim: Claim, relay: Relay, *, beat_s: float, lease_s: float) -> None:
        self.stop_reason: StopReason | None = None
        self._records = records
        self._claim = claim
        self._relay = relay
        self._beat_s = beat_s
        self._lease_s = lease_s
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.audit_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._beat_s) and self.stop_reason != "lost":
            self._beat()
        if self.stop_reason is None:
            self._beat()  # the last events

    def _beat(self) -> None:
        began = time.monotonic()
        try:
            answer = self._records.beat(self._claim, self._relay.take())
        except Exception:
            # Whatever the database's trouble is, the next beat tries again.
            logger.warning("the lease of %s was not renewed", self._claim.audit_id, exc_info=True)
            if began - self._renewed > self._lease_s:
                self.stop_reason = "lost"
            return
        self._renewed = began
        if not answer.still_mine:
            self.stop_reason = "lost"
        elif answer.cancel_requested and self.stop_reason is None:
            self.stop_reason = "cancelled"
