"""What ``eigengate serve`` and ``eigengate worker`` refuse before they start anything."""

import socket

import pytest
from typer.testing import CliRunner

from eigengate.cli.main import app
from workers.file_lock import FileLock


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    for name in ("EIGENGATE_DATABASE_URL", "EIGENGATE_BROKER_URL", "EIGENGATE_HOST", "EIGENGATE_PORT"):
        monkeypatch.delenv(name, raising=False)
    # Logging is set up for the whole process, which here is everybody's.
    monkeypatch.setattr("eigengate.cli.serve._log_to_stderr", lambda: None)


def run(*arguments):
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_serve_refuses_strangers_unless_told(tmp_path, host):
    done = run("serve", "--host", host, "--data-dir", str(tmp_path / "data"))
    assert done.exit_code == 2
    assert "no authentication" in done.stderr
    assert not (tmp_path / "data").exists()


def test_serve_refuses_servers_that_are_not_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("EIGENGATE_DATABASE_URL", "postgresql://user:hunter2@db/eigengate")
    done = run("serve", "--data-dir", str(tmp_path))
    assert done.exit_code == 2
    assert "EIGENGATE_DATABASE_URL" in done.stderr
    assert "hunter2" not in done.output + done.stderr


def test_serve_refuses_a_folder_in_use(tmp_path):
    with FileLock(tmp_path / "server.lock"):
        done = run("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert done.exit_code == 4
    assert "another server is running" in done.stderr


def test_serve_refuses_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = run("serve", "--port", str(listener.getsockname()[1]), "--data-dir", str(tmp_path))
    assert done.exit_code == 4
    assert "cannot listen" in done.stderr


def test_a_worker_cannot_hear_a_queue_in_memory():
    done = run("worker")
    assert done.exit_code == 2
    assert "EIGENGATE_BROKER_URL" in done.stderr


def test_serve_says_which_folder_it_cannot_use(tmp_path):
    (tmp_path / "file").touch()
    done = run("serve", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert done.exit_code == 4
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_says_that_its_database_is_none(tmp_path):
    (tmp_path / "eigengate.db").write_text("not a database, whatever its name says")
    done = run("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert done.exit_code == 4
    assert "file is not a database" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("EIGENGATE_TIME_LIMIT_S", "-1"), ("EIGENGATE_WORKER_CONCURRENCY", "zero")]
)
def test_serve_names_the_setting_that_makes_no_sense(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    done = run("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert done.exit_code == 2
    assert name.lower().removeprefix("eigengate_").removeprefix("worker_") in done.stderr
    assert "pydantic" not in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [("postgresql://user:hunter2@127.0.0.1:1/x", 4, "database cannot be used"), ("nonsense", 2, "DATABASE_URL")],
)
def test_a_worker_says_that_its_database_is_away(monkeypatch, tmp_path, url, code, words):
    monkeypatch.setenv("EIGENGATE_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("EIGENGATE_DATABASE_URL", url)
    monkeypatch.setenv("EIGENGATE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("service.logs.log_to_stderr", lambda: None)
    done = run("worker")
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
