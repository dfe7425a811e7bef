"""A torch.export archive through the whole product: the library's report, and the service's."""

import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

import eigengate
from tests.support.exported_networks import FIXED, FREE, STRICT, Form, build, exported
from tests.support.server import SERVE, finished, serving
from tests.support.torch_networks import torchscript

CONFIG = eigengate.AuditConfig(quantities=("input_jacobian", "hessian"), device="cpu", precision="float64")


def probe_file(n: int, *sizes: int) -> bytes:
    stream = io.BytesIO()
    x = torch.randn(n, *sizes, generator=torch.Generator().manual_seed(0))
    np.savez(stream, x=x.numpy(), y=np.arange(n) % 3)
    return stream.getvalue()


@pytest.mark.parametrize("form", [FREE, STRICT, FIXED], ids=str)
def test_every_export_gives_the_numbers_of_the_torchscript_file(form: Form) -> None:
    module, inputs = build("conv_norm")
    probe = eigengate.load_probe(probe_file(8, 2, 6, 6))
    files = (exported(module, inputs, form), torchscript(module, *inputs))
    ours, theirs = (eigengate.audit(eigengate.load_model(file), probe, CONFIG) for file in files)
    assert not ours.problems
    assert ours.certificate.passed
    assert (ours.model.format, theirs.model.format) == ("pt2", "torchscript")
    assert ours.model.parameters.count == theirs.model.parameters.count
    assert any("exactly 3 samples" in note for note in ours.model.notes) is (form == FIXED)
    for name in (
        "input_jacobian.operator_norm",
        "input_jacobian.effective_rank",
        "hessian.lambda_max",
        "hessian.trace",
    ):
        # The same function in double precision; only the order of sums differs.
        assert ours.value(name) == pytest.approx(theirs.value(name), rel=1e-9), name
    assert eigengate.StabilityReport.model_validate_json(ours.model_dump_json()) == ours


def test_the_service_audits_an_exported_program_and_says_why_it_refuses_another(tmp_path: Path) -> None:
    module, inputs = build("mlp")
    config = {"device": "cpu", "quantities": ["input_jacobian"], "max_samples": 6}
    good = {"model": exported(module, inputs), "probe": probe_file(6, 6), "config": (None, json.dumps(config))}
    training = torch.nn.Sequential(module, torch.nn.RReLU()).train()
    with serving(tmp_path / "data", "serve", "--port", "0", program=SERVE) as server:
        answers = [
            httpx.post(f"{server.address}/v1/audits", files=files, timeout=30)
            for files in (good, good | {"model": exported(training, inputs)})
        ]
        assert [answer.status_code for answer in answers] == [202, 202]
        measured, refused = (finished(server, answer.json()["id"], within=120) for answer in answers)
        assert (measured["status"], measured["model"]["format"], measured["error"]) == ("succeeded", "pt2", None)
        report = server.get(f"/v1/audits/{measured['id']}/report").json()
        assert report["certificate"]["passed"]
        assert report["certificate"]["runtime"].startswith("torch.export interpreter")
        assert any(found["name"] == "input_jacobian.operator_norm" for found in report["measurements"])
        assert (refused["status"], refused["error"]["code"]) == ("failed", "unsupported_operator")
        assert "random numbers" in refused["error"]["detail"]
        assert str(tmp_path) not in json.dumps([measured, refused])
