"""A real model over HTTP, through the real child, to a report: in one process, and deployed apart."""

import json

import httpx
import numpy as np
import pytest
import torch

from tests.support.deployed import deployed
from tests.support.server import SERVE, finished, serving


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
    with deployed(tmp_path) as (server, worker):
        assert_measured(server, submit(server, files))
        worker.terminate()
        assert worker.wait(20) == 0


def _npz(folder, shape) -> bytes:
    np.savez(folder / "other.npz", x=np.ones(shape, dtype=np.float32))
    return (folder / "other.npz").read_bytes()
