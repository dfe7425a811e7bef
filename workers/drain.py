"""Word that this worker is to stop, for every thread and every process forked from it."""

import os
import select
import time
from typing import final


@final
class Drain:
    """A switch that goes one way. A pipe, so that a signal handler may turn it and forked processes see it.

    After ``grace_s`` seconds running audits are stopped and handed back, not failed.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._reader, self._writer = os.pipe()
        self._seen: float | None = None

    def begin(self) -> None:
        os.write(self._writer, b".")

    @property
    def begun(self) -> bool:
        if self._seen is None and select.select([self._reader], [], [], 0)[0]:
            self._seen = time.monotonic()
        return self._seen is not None

    def wait(self) -> None:
        """Return when it has begun."""
        select.select([self._reader], [], [])

    @property
    def overdue(self) -> bool:
        """Whether the grace is over."""
        return self.begun and self._seen is not None and time.monotonic() - self._seen >= self._grace_s

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
