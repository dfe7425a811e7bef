"""The parts of one worker process, put together the same way wherever it runs."""

import os
import socket
from collections.abc import Sequence
from typing import final

from service.context import Context
from service.settings import Settings
from workers.app import create_app
from workers.drain import Drain
from workers.settings import WorkerSettings
from workers.supervisor import CHILD_COMMAND
from workers.sweeper import Sweeper
from workers.tasks import register
from workers.work_root import WorkRoot
from workers.workshop import Workshop


@final
class Crew:
    """A Celery application that runs audits, a sweeper, and the switch that stops both."""

    def __init__(
        self, settings: Settings, worker_settings: WorkerSettings, command: Sequence[str] = CHILD_COMMAND
    ) -> None:
        self.worker_settings = worker_settings
        self.name = f"eigengate-{os.getpid()}@{socket.gethostname()}"
        self.drain = Drain(worker_settings.grace_s)
        self.context = Context.open(settings)
        self._work_root = WorkRoot(worker_settings.work_base(settings))
        workshop = Workshop(
            settings,
            worker_settings,
            name=self.name,
            work_dir=self._work_root.path,
            drain=self.drain,
            command=command,
        )
        self.app = create_app(settings)
        register(self.app, workshop.run)
        self.sweeper = Sweeper(self.context, self._work_root)

    def close(self) -> None:
        self._work_root.close()
        self.context.database.close()
