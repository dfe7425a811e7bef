"""A worker in a thread of a process that does other things too."""

import logging
import threading
from typing import final

from celery.worker import WorkController, state

from workers.crew import Crew

START_S = 30
STOP_S = 30

logger = logging.getLogger(__name__)


@final
class EmbeddedWorker:
    """A Celery worker that takes no signals and configures no logging, in a thread of its own, with its sweeper.

    Celery keeps the flag that stops a worker for the whole process, so there can be one at a time.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Start, and return when bells are heard."""
        state.should_stop = None
        self._thread.start()
        if not self._ready.wait(START_S) or not self._thread.is_alive():
            raise RuntimeError("the embedded worker did not start")
        self._crew.sweeper.start()

    def stop(self) -> None:
        """Hand running audits back and stop, within seconds."""
        self._crew.drain.begin()
        self._crew.sweeper.stop()
        state.should_stop = 0
        if self._thread.ident is not None:  # it may never have been started
            self._thread.join(STOP_S)
        if self._thread.is_alive():
            logger.error("the embedded worker did not stop in %d s", STOP_S)

    def _work(self) -> None:
        try:
            controller = WorkController(
                app=self._crew.app,
                hostname=self._crew.name,
                pool="threads",
                concurrency=self._crew.worker_settings.concurrency,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
                ready_callback=lambda _consumer: self._ready.set(),
            )
            controller.start()
        except Exception:
            logger.exception("the embedded worker failed")
        finally:
            self._ready.set()
            self._crew.drain.begin()  # a server without a worker should stop, not pretend
