"""A network of tokens from file to verdict: the library, the command, the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import eigengate
from eigengate.cli.main import app
from eigengate.contract import StabilityReport
from eigengate.loading.probe import Probe
from eigengate.page import render_html
from support.token_networks import CLASSES, LENGTH, WIDTH, build, exported
from support.token_reference import Reference, kernel

SAMPLES = 8
NOTE = (
    "no input is floating point: the differentiable input is the output [5, 6] of the first embedding, 'word.weight', "
    "of input 'input_ids'"
)


@pytest.fixture(scope="module")
def report() -> StabilityReport:
    subject = build("bert", SAMPLES)
    model = eigengate.load_model(exported("pt2", subject))
    config = eigengate.AuditConfig(device="cpu", precision="float64")
    return eigengate.audit(model, Probe(dict(subject.inputs), None, "0" * 64), config)


def test_every_quantity_is_measured_and_agrees_with_dense_derivatives(report):
    assert not report.problems
    assert report.certificate.passed
    reference = Reference(build("bert", SAMPLES))
    gains = torch.linalg.svdvals(reference.by_embedding().flatten(2))[:, 0]
    assert report.value("input_jacobian.operator_norm", "mean") == pytest.approx(float(gains.mean()), rel=1e-9)
    theta = kernel(reference.by_parameters())
    traced = theta.reshape(SAMPLES, CLASSES, SAMPLES, CLASSES).diagonal(dim1=1, dim2=3).sum(-1)
    largest = float(torch.linalg.eigvalsh(traced)[-1])
    assert report.value("ntk.operator_norm") == pytest.approx(largest, rel=1e-9)
    measured = {m.name for m in report.measurements if m.outcome == "ok"}
    assert {"hessian.lambda_max", "gauss_newton.lambda_max", "attribution.robustness", "index.gmsi"} <= measured


def test_the_report_says_what_is_differentiated(report):
    assert NOTE in report.model.notes
    assert report.model.embedding.weight == "word.weight"
    assert report.model.embedding.input == "input_ids"
    assert report.probe.shape == (LENGTH, WIDTH)
    assert [i.name for i in report.model.inputs] == ["input_ids", "attention_mask", "token_type_ids"]


def test_explanations_are_drawn_token_by_token(report):
    samples = report.attribution.samples
    assert samples
    for sample in samples:
        assert sample.shape == (LENGTH,)
        assert len(sample.clean_map) == len(sample.noisy_input) == LENGTH
        assert min(sample.clean_map) >= 0
    page = render_html(report)
    assert "each cell is the norm of one token&#39;s vector" in page
    assert "the differentiable input is the output [5, 6] of the first embedding" in page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subject = build("lstm", SAMPLES)
    (tmp_path / "model.pt").write_bytes(exported("scripted", subject))
    ids = subject.inputs["ids"].numpy()
    with torch.no_grad():
        labels = subject.network(*subject.inputs.values()).argmax(1).numpy()
    np.savez(tmp_path / "tokens.npz", ids=ids, y=labels)
    np.savez(tmp_path / "foreign.npz", ids=ids + 7, y=labels)
    (tmp_path / "config.json").write_text(json.dumps({"quantities": ["input_jacobian", "ntk"]}))
    for name, op in (("lenient", "<="), ("strict", ">=")):
        condition = {"id": "gain", "metric": "input_jacobian.operator_norm", "op": op, "threshold": 1000}
        (tmp_path / f"{name}.json").write_text(json.dumps({"schema": 1, "condition": [condition]}))
    return tmp_path


def check(folder: Path, probe: str, policy: str):
    files = [str(folder / name) for name in ("model.pt", probe)]
    options = {"--policy": policy, "--config": "config.json", "-o": "report.json"}
    arguments = [text for option, name in options.items() for text in (option, str(folder / name))]
    return CliRunner().invoke(app, ["check", *files, *arguments])


@pytest.mark.parametrize(("policy", "code"), [("lenient.json", 0), ("strict.json", 1)])
def test_the_command_audits_and_judges_a_network_of_tokens(folder, policy, code):
    done = check(folder, "tokens.npz", policy)
    assert done.exit_code == code, done.output
    written = StabilityReport.model_validate_json((folder / "report.json").read_bytes())
    assert written.model.embedding.weight == "tokens.weight"
    assert written.value("model.accuracy") == 1.0


def test_tokens_of_another_vocabulary_cannot_be_audited(folder):
    done = check(folder, "foreign.npz", "lenient.json")
    assert done.exit_code == 3
    assert "outside the 11 rows (0 to 10)" in " ".join(done.output.split())
