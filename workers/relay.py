"""Events on their way from the child to the record, thinned so that a chatty child costs no more than a quiet one."""

import threading
from typing import final

from eigengate.contract import LogEvent, ProgressEvent
from workers.protocol import ChildEvent

MAX_STAGES = 200
MAX_LOGS = 200


@final
class Relay:
    """Holds events between two beats: every stage and log up to a number per audit, of progress only the latest.

    Filled by the supervising thread, emptied by the one that talks to the database.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[ChildEvent] = []
        self._stages = 0
        self._logs = 0

    def put(self, event: ChildEvent) -> None:
        with self._lock:
            if isinstance(event, ProgressEvent):
                self._put_progress(event)
            elif isinstance(event, LogEvent):
                self._put_log(event)
            elif self._stages < MAX_STAGES:
                self._stages += 1
                self._waiting.append(event)

    def take(self) -> list[ChildEvent]:
        """What has gathered since the last time, in order."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            return taken

    def _put_progress(self, event: ProgressEvent) -> None:
        if self._waiting and isinstance(self._waiting[-1], ProgressEvent):
            self._waiting.pop()
        self._waiting.append(event)

    def _put_log(self, event: LogEvent) -> None:
        self._logs += 1
        if self._logs < MAX_LOGS:
            self._waiting.append(event)
        elif self._logs == MAX_LOGS:
            self._waiting.append(LogEvent(message=f"more than {MAX_LOGS} messages; further ones are dropped"))
