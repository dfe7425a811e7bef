"""What one process needs to run audits, opened when its first bell is heard and never before a fork."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import final

from service.database import Database
from service.settings import Settings
from service.storage import open_store
from workers.drain import Drain
from workers.lifecycle import Lifecycle
from workers.records import Records
from workers.settings import WorkerSettings
from workers.supervisor import CHILD_COMMAND


@final
class Workshop:
    """Opens the database and the store once, for all threads of the process."""

    def __init__(
        self,
        settings: Settings,
        worker_settings: WorkerSettings,
        *,
        name: str,
        work_dir: Path,
        drain: Drain,
        command: Sequence[str] = CHILD_COMMAND,
    ) -> None:
        self._settings = settings
        self._worker_settings = worker_settings
        self._name = name
        self._work_dir = work_dir
        self._drain = drain
        self._command = command
        self._opening = threading.Lock()
        self._opened: Lifecycle | None = None

    def run(self, audit_id: str) -> None:
        """Answer a bell."""
        self._lifecycle().run(audit_id)

    def _lifecycle(self) -> Lifecycle:
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Lifecycle:
        database = Database(self._settings.database_address)
        return Lifecycle(
            records=Records(database, self._settings.lease_terms, self._name),
            store=open_store(self._settings.blob_address),
            work_dir=self._work_dir,
            settings=self._settings,
            worker_settings=self._worker_settings,
            drain=self._drain,
            command=self._command,
        )
