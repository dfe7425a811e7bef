"""The Celery application of a worker: how bells are heard. What they mean stands in the database."""

from typing import Any

from celery import Celery

from service.queue import QUEUE
from service.settings import Settings

# An embedded worker should hear a bell at once, and polling a queue in memory costs next to nothing.
_MEMORY_OPTIONS = {"polling_interval": 0.1}
_REDIS_OPTIONS = {
    "health_check_interval": 25,
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
    "socket_keepalive": True,
}


def create_app(settings: Settings) -> Celery:
    """An application that listens on our queue, takes JSON only, and keeps no results."""
    app = Celery("eigengate", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        task_default_queue=QUEUE,
        task_create_missing_queues=False,
        # A bell is acknowledged when it is heard: the claim in the database, not the broker, says who runs what. A
        # message that waits for its acknowledgement as long as an audit runs would be delivered twice.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=not _in_memory(settings.broker_url),
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings.broker_url),
    )
    return app


def _transport_options(broker_url: str) -> dict[str, Any]:
    if _in_memory(broker_url):
        return dict(_MEMORY_OPTIONS)
    return dict(_REDIS_OPTIONS) if broker_url.startswith(("redis", "valkey")) else {}


def _in_memory(broker_url: str) -> bool:
    return broker_url.startswith("memory:")
