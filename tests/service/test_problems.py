"""Every error is a problem document, whatever went wrong, and tells nothing of our inside."""

import json
import logging
import socket

import pytest
from starlette.testclient import TestClient

from eigengate import errors
from eigengate.contract import Problem
from service import logs, refusals
from service.app import create_app
from service.problems import STATUSES
from service.storage import errors as storage_errors
from tests.support.service import RecordingBell, form


def assert_problem(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.content)
    assert (answer.status_code, problem.status, problem.code) == (status, status, code)
    assert problem.type.endswith(f"/{code}")
    assert problem.request_id == answer.headers["x-request-id"]
    assert problem.title
    assert problem.detail
    return problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/audits/", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/v1/audits/%2e%2e/%2e%2e/etc/passwd", 404, "not_found"),
        ("PUT", "/v1/audits", 405, "method_not_allowed"),
        ("TRACE", "/", 405, "method_not_allowed"),
        ("POST", "/health/live", 405, "method_not_allowed"),
        ("POST", "/v1/audits", 415, "unsupported_media_type"),
        ("GET", "/v1/audits?limit=NaN", 422, "invalid_request"),
        ("GET", "/v1/audits?" + "&".join(["label=a:b"] * 17), 422, "invalid_request"),
        ("PUT", "/v1/artifacts/" + "é" * 32, 422, "invalid_request"),
    ],
)
def test_frameworks_refusals_are_problems_too(shared_client, method, path, status, code):
    answer = shared_client.request(method, path)
    assert_problem(answer, status, code)
    if status == 405:
        assert answer.headers["allow"]


def test_no_other_site_is_invited(shared_client):
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = shared_client.options("/v1/audits", headers=preflight)
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.fixture
def broken(app, monkeypatch):
    """A service with a fault of its own in one route."""

    def fault(*_, **__):
        raise RuntimeError("secret path /srv/eigengate/blobs")

    monkeypatch.setattr("service.health.operations.info", fault)
    with TestClient(app) as client:
        yield client


def test_a_fault_of_ours_tells_nothing_and_is_logged(broken, caplog):
    answer = broken.get("/v1/info", headers={"X-Request-ID": "mine-1"})
    problem = assert_problem(answer, 500, "internal")
    assert problem.request_id == "mine-1"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "RuntimeError: secret path" in caplog.text


def test_an_error_no_request_should_cause_is_a_fault_of_ours(app, monkeypatch):
    def fault(*_, **__):
        raise errors.CertificateError("secret")

    monkeypatch.setattr("service.health.operations.info", fault)
    with TestClient(app) as client:
        answer = client.get("/v1/info")
    assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text


@pytest.fixture
def without_database(settings):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"postgresql://u:hunter2@127.0.0.1:{listener.getsockname()[1]}/d"
    app = create_app(settings.model_copy(update={"database_url": url}), doorbell=RecordingBell())
    return TestClient(app)  # not entered: nothing migrates


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/v1/audits"), ("GET", "/v1/audits/aud_" + "0" * 32), ("POST", "/v1/audits"),
        ("DELETE", "/v1/audits/aud_" + "0" * 32), ("GET", "/v1/artifacts/" + "0" * 64),
    ],
)  # fmt: skip
def test_a_database_that_is_away_is_temporary(without_database, settings, method, path):
    answer = without_database.request(method, path, **(form() if method == "POST" else {}))
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "hunter2" not in answer.text
    assert [path for path in settings.data_dir.rglob("*") if path.is_file() and path.parent.name != "data"] == []


def test_liveness_asks_nobody(without_database):
    assert without_database.get("/health/live").json() == {"status": "ok"}


def test_readiness_names_what_is_away(without_database, client, bell, app):
    assert "database" in assert_problem(without_database.get("/health/ready"), 503, "not_ready").detail
    assert client.get("/health/ready").json() == {"status": "ok"}
    bell.answers = False
    blobs = app.state.context.settings.data_dir / "blobs"
    blobs.rmdir()
    problem = assert_problem(client.get("/health/ready"), 503, "not_ready")
    assert problem.detail == "no answer from: store, broker"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "a\tb", "<script>"])
def test_a_senseless_request_id_is_replaced(shared_client, given):
    answer = shared_client.get("/health/live", headers={"X-Request-ID": given.encode("latin-1")})
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_sensible_request_id_is_echoed(shared_client):
    answer = shared_client.get("/health/live", headers={"X-Request-ID": "ci-run.42_a"})
    assert answer.headers["x-request-id"] == "ci-run.42_a"


def test_every_answer_says_that_its_type_is_meant(shared_client):
    for path in ("/", "/v1/info", "/nowhere", "/openapi.json"):
        assert shared_client.get(path).headers["x-content-type-options"] == "nosniff"


def test_a_log_line_is_one_json_object_with_the_request_id(app, capsys):
    handler = logging.StreamHandler()
    handler.setFormatter(logs.json_formatter())
    logger = logging.getLogger("service.requests")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with TestClient(app) as client:
            client.get("/forged%0a%7b%22level%22:%22error%22%7d", headers={"X-Request-ID": "one"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["request_id"], entry["status"], entry["level"]) == ("one", 404, "info")


def _codes(module):
    return {
        kind.code for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__
    }


def test_every_error_of_a_request_has_a_status():
    assert _codes(refusals) | _codes(storage_errors) <= set(STATUSES)


def test_every_code_of_the_table_belongs_to_an_error():
    known = _codes(refusals) | _codes(storage_errors) | _codes(errors)
    assert set(STATUSES) - known == {"method_not_allowed", "unavailable"}
