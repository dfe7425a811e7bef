"""A worker process of its own, beside others, on a broker and a database that they share."""

from typing import Any, final

from celery import signals

from workers.crew import Crew


@final
class StandaloneWorker:
    """A Celery worker as a program: it takes SIGTERM and SIGINT as word to finish up and leave."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    def run(self) -> int:
        """Work until told to stop; the exit status."""
        signals.worker_ready.connect(self._on_ready)
        signals.worker_shutting_down.connect(self._on_shutting_down)
        signals.setup_logging.connect(_keep_logging)
        worker = self._crew.app.Worker(
            hostname=self._crew.name,
            pool=self._crew.worker_settings.pool,
            concurrency=self._crew.worker_settings.concurrency,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        worker.start()
        return int(worker.exitcode or 0)

    def _on_ready(self, **_: Any) -> None:
        # Not before the pool has forked: a forked process has the locks of this thread, but not the thread.
        self._crew.sweeper.start()

    def _on_shutting_down(self, **_: Any) -> None:
        self._crew.drain.begin()


def _keep_logging(**_: Any) -> None:
    """Being connected is enough: Celery then leaves logging as it is."""
