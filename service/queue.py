"""The bell that wakes a worker. It carries an audit's id and nothing else: the database is the queue."""

import logging
from typing import Protocol, final

from celery import Celery
from kombu.exceptions import KombuError

TASK = "eigengate.run_audit"
QUEUE = "eigengate"

_SECONDS = 2
logger = logging.getLogger(__name__)


class Doorbell(Protocol):
    """Tells workers that an audit waits. Ring only after the audit is committed."""

    def ring(self, audit_id: str, attempt: int) -> bool:
        """Whether the bell could be rung; if not, the sweeper rings it again later."""
        ...

    def ping(self) -> bool:
        """Whether the broker answers."""
        ...


@final
class NullDoorbell:
    """Rings nowhere: audits stay queued until something claims them."""

    def ring(self, audit_id: str, attempt: int) -> bool:
        logger.warning("no broker is configured, so no bell rings for %s", audit_id)
        return False

    def ping(self) -> bool:
        return True


@final
class CeleryDoorbell:
    """Sends the task by name; knows no code of the workers and waits for a dead broker no longer than seconds."""

    def __init__(self, broker_url: str) -> None:
        self._app = Celery("eigengate-doorbell", broker=broker_url, set_as_current=False)
        self._app.conf.update(
            task_serializer="json",
            accept_content=["json"],
            task_ignore_result=True,
            task_default_queue=QUEUE,
            task_publish_retry=False,
            broker_connection_timeout=_SECONDS,
            broker_connection_retry=False,
            broker_transport_options={
                "socket_connect_timeout": _SECONDS,
                "socket_timeout": _SECONDS,
                "max_retries": 0,
            },
        )
        with self._app.connection_for_write() as connection:
            self._silences = (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)

    def ring(self, audit_id: str, attempt: int) -> bool:
        try:
            self._app.send_task(TASK, args=[audit_id], task_id=f"{audit_id}.{attempt}", queue=QUEUE, retry=False)
        except self._silences as error:
            logger.warning(
                "the bell for %s could not be rung (%s); the sweeper will try again", audit_id, type(error).__name__
            )
            return False
        return True

    def ping(self) -> bool:
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=0, timeout=_SECONDS)
        except self._silences:
            return False
        return True
