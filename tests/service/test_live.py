"""What only shows over a real connection: events as they happen, and clients that hang up."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn

from eigengate.contract import StageEvent
from service.server import Server
from tests.support import uploads
from tests.support.service import RecordingBell, form, leftovers


@pytest.fixture
def server(app):
    """The address of a running service."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()
    server.should_exit = True
    thread.join()
    listener.close()


def eventually(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_events_come_as_they_happen(server, hand):
    with httpx.Client(base_url=f"http://{server[0]}:{server[1]}", timeout=30) as client:
        audit_id = client.post("/v1/audits", **form()).json()["id"]
        with client.stream("GET", f"/v1/audits/{audit_id}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            claim = hand.claim(audit_id)
            for stage in ("load", "sweep"):
                hand.tell(claim, StageEvent(stage=stage))
                assert next(line for line in lines if line.startswith("data:")).endswith(f'"stage":"{stage}"}}')
            client.delete(f"/v1/audits/{audit_id}")
            assert not [line for line in lines if line.startswith("data:")]  # deleted: the stream ends


@pytest.mark.parametrize("path", ["/v1/audits", "/v1/artifacts/" + "0" * 64])
def test_a_client_that_hangs_up_leaves_nothing_behind(server, settings, path):
    method, kind = ("POST", "multipart/form-data; boundary=x") if path == "/v1/audits" else ("PUT", "a/b")
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 50000\r\n\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + uploads.TORCHSCRIPT
    with socket.create_connection(server) as connection:
        connection.sendall(head.encode() + part)
        eventually(lambda: any(file.stat().st_size for file in leftovers(settings.data_dir)) or staged(settings))
    eventually(lambda: not leftovers(settings.data_dir))


def staged(settings):
    """Whether the upload has begun; its few bytes may still be in a buffer."""
    return bool(list(settings.staging_dir.iterdir()))


def test_a_body_beyond_the_limit_is_answered_before_it_has_all_come(server):
    with socket.create_connection(server) as connection:
        path = "/v1/artifacts/" + "0" * 64
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.fixture
def stoppable(settings, monkeypatch):
    """A server of ours with its address, which stops waiting for requests after a moment."""
    monkeypatch.setattr("service.server._GRACEFUL_S", 1)
    monkeypatch.setattr("service.context.CeleryDoorbell", lambda _url: RecordingBell())  # a queue in memory is shared
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server, listener.getsockname()
    server.should_exit = True
    thread.join()
    listener.close()


def test_a_server_that_stops_answers_those_who_wait_for_an_audit(stoppable):
    server, (host, port) = stoppable
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as client, ThreadPoolExecutor() as pool:
        audit_id = client.post("/v1/audits", **form()).json()["id"]
        path = f"/v1/audits/{audit_id}"
        held = pool.submit(client.get, path, headers={"Prefer": "wait=60"})
        with client.stream("GET", f"{path}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            server.should_exit = True
            assert not any(lines)  # it ends whole: one cut off raises
        answer = held.result(30)
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")


def test_an_upload_that_a_stopping_server_cannot_wait_for_is_told_so(stoppable):
    server, address = stoppable
    with socket.create_connection(address) as connection:
        head = f"PUT /v1/artifacts/{'0' * 64} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 100)
        time.sleep(0.2)  # the request has to be under way; were it not, the connection would be closed unanswered
        server.should_exit = True
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"application/problem+json" in answer
