"""A real model over HTTP, through the real child, to a report: in one process, and deployed apart."""

import json
import os
import secrets
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import torch
from sqlalchemy import create_engine, make_url, text

from tests.support.processes import until
from tests.support.server import ROOT, SERVE, SETTINGS, Server, finished, serving

POSTGRES = os.environ.get("EIGENGATE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("EIGENGATE_TEST_REDIS", "redis://127.0.0.1:6379/15")


@pytest.fixture
def files(tmp_path):
    """A small network and probe data for it, as multipart files."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    torch.jit.trace(network, torch.zeros(2, 6)).save(tmp_path / "model.pt")
    np.savez(tmp_path / "probe.npz", x=np.random.default_rng(0).standard_normal((6, 6), dtype=np.float32))
    config = {"device": "cpu", "quantities": ["input_jacobian"], "max_samples": 6}
    return {
        "model": (tmp_path / "model.pt").read_bytes(),
        "probe": (tmp_path / "probe.npz").read_bytes(),
        "config": (None, json.dumps(config)),
    }


def submit(server, files) -> str:
    answer = httpx.post(f"{server.address}/v1/audits", files=files, timeout=30)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def assert_measured(server, audit_id):
    audit = finished(server, audit_id, within=120)
    assert audit["error"] is None
    assert (audit["status"], audit["attempt"]) == ("succeeded", 1)
    assert audit["verdict"] is not None
    report = server.get(f"/v1/audits/{audit_id}/report").json()
    assert report["model"]["sha256"] == audit["model"]["sha256"]
    assert any(found["name"] == "input_jacobian.operator_norm" for found in report["measurements"])


def test_serve_measures_a_model_and_tells_why_it_refuses_another(tmp_path, files):
    with serving(tmp_path / "data", "serve", "--port", "0", program=SERVE) as server:
        good = submit(server, files)
        bad = submit(server, files | {"probe": _npz(tmp_path, (4, 5))})
        assert_measured(server, good)
        refused = finished(server, bad, within=120)
        assert (refused["status"], refused["error"]["code"]) == ("failed", "shape_mismatch")
        assert str(tmp_path) not in json.dumps(refused)
        assert server.terminate() == 0


@pytest.mark.servers
def test_api_and_worker_apart_measure_a_model(tmp_path, files):
    with _database() as database:
        port = _free_port()
        environment = {
            **os.environ,
            **SETTINGS,
            "EIGENGATE_DATABASE_URL": database,
            "EIGENGATE_BROKER_URL": REDIS,
            "EIGENGATE_DATA_DIR": str(tmp_path / "data"),
            "EIGENGATE_PORT": str(port),
        }
        commands = [["-m", "service"], ["-m", "eigengate.cli", "worker"]]
        processes = [subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment) for command in commands]
        try:
            server = Server(processes[0], tmp_path, f"http://127.0.0.1:{port}")
            until(lambda: _answers(server), what="the API to answer", within=60)
            assert_measured(server, submit(server, files))
            processes[1].terminate()
            assert processes[1].wait(20) == 0
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _npz(folder, shape) -> bytes:
    np.savez(folder / "other.npz", x=np.ones(shape, dtype=np.float32))
    return (folder / "other.npz").read_bytes()


def _answers(server) -> bool:
    try:
        return server.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def _database():
    """A PostgreSQL database of the test's own."""
    name = f"eigengate_{secrets.token_hex(6)}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception as error:
        pytest.skip(f"no PostgreSQL at {make_url(POSTGRES)!r}: {str(error).splitlines()[0]}")
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
