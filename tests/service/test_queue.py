"""Ringing for workers."""

import socket

import pytest
from celery import Celery

from service.queue import QUEUE, TASK, CeleryDoorbell, NullDoorbell


def test_a_bell_is_a_task_by_name_with_the_audits_id_and_nothing_else():
    bell = CeleryDoorbell("memory://")
    assert bell.ring("aud_1", 0)
    assert bell.ping()
    with Celery(broker="memory://", set_as_current=False).connection() as connection:
        message = connection.SimpleQueue(QUEUE).get(timeout=1)
        message.ack()
    assert message.headers["task"] == TASK
    assert message.content_type == "application/json"
    arguments, named, _ = message.payload
    assert (arguments, named) == (["aud_1"], {})


@pytest.mark.timeout(60)  # endless retries would be noticed
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_dead_broker_is_no_error_and_holds_nobody_up(scheme):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    bell = CeleryDoorbell(f"{scheme}://127.0.0.1:{port}/0")
    assert not bell.ring("aud_1", 0)
    assert not bell.ping()


@pytest.mark.timeout(60)
def test_a_broker_that_accepts_and_says_nothing_holds_nobody_up():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        bell = CeleryDoorbell(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        assert not bell.ring("aud_1", 0)


def test_without_a_broker_nothing_rings_and_that_is_said(caplog):
    assert not NullDoorbell().ring("aud_1", 0)
    assert "aud_1" in caplog.text
