"""``audit`` and ``check`` as a person or a CI job calls them: files in, exit codes and files out."""

import io
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from typer.testing import CliRunner

from eigengate.cli.main import app
from eigengate.contract import StabilityReport
from support.lenet import exported

FAST = {"quantities": ["input_jacobian"], "max_samples": 8}


@pytest.fixture
def folder(tmp_path):
    """A small trained-looking network in both formats, probe data, a quick configuration and two policies."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)).eval()
    x = torch.linspace(-1, 1, 12 * 6).reshape(12, 6).sin()
    for name, form in (("model.pt", "traced"), ("model.onnx", "onnx_from_export")):
        (tmp_path / name).write_bytes(exported(form, model, x))
    with torch.no_grad():
        np.savez(tmp_path / "probe.npz", x=x.numpy(), y=model(x).argmax(1).numpy())
    (tmp_path / "config.json").write_text(json.dumps(FAST))
    for name, op in (("lenient", "<="), ("strict", ">=")):
        condition = {"id": "gain", "metric": "input_jacobian.operator_norm", "op": op, "threshold": 1000}
        (tmp_path / f"{name}.json").write_text(json.dumps({"schema": 1, "condition": [condition]}))
    return tmp_path


def run(folder, *arguments):
    return CliRunner().invoke(app, [str(folder / a) if "." in a and not a.startswith("-") else a for a in arguments])


@pytest.mark.parametrize("model", ["model.pt", "model.onnx"])
def test_audit_writes_a_report_and_a_page_and_shows_the_headlines(folder, model):
    done = run(folder, "audit", model, "probe.npz", "--config", "config.json", "-o", "r.json", "--html", "r.html")
    assert done.exit_code == 0, done.output
    assert "input_jacobian.operator_norm" in done.output
    report = StabilityReport.model_validate_json((folder / "r.json").read_bytes())
    assert report.probe.used == 8
    assert report.certificate.passed
    assert "<!doctype html>" in (folder / "r.html").read_text().lower()


@pytest.mark.parametrize("model", ["model.pt", "model.onnx"])
@pytest.mark.parametrize("command", ["audit", "check"])
def test_layers_are_shown_and_reported_where_the_configuration_asks_for_them(folder, model, command):
    (folder / "layers.toml").write_text('quantities = ["hessian"]\nmax_samples = 8\n[hessian]\nper_layer = true\n')
    done = run(folder, command, model, "probe.npz", "--config", "layers.toml", "-o", "r.json", "--html", "r.html")
    assert "Curvature by layer" in done.output
    report = StabilityReport.model_validate_json((folder / "r.json").read_bytes())
    assert [(layer.name, layer.parameters) for layer in report.layers] == [("0", 84), ("2", 39)]
    trace = sum(layer.trace.value for layer in report.layers)
    # Sums of float32 numbers.
    assert trace == pytest.approx(report.value("hessian.trace"), rel=1e-5)
    assert "Curvature by layer" in (folder / "r.html").read_text()


@pytest.mark.parametrize(
    ("hessian", "words"),
    [({"per_layers": True}, "Extra inputs"), ({"per_layer": "yes"}, "valid boolean"), ({"per_layer": True}, "needs")],
)
def test_layers_asked_for_wrongly_exit_2(folder, hessian, words):
    (folder / "bad.json").write_text(json.dumps(FAST | {"hessian": hessian}))
    done = run(folder, "audit", "model.pt", "probe.npz", "--config", "bad.json")
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_the_same_seed_gives_the_same_numbers(folder):
    for name in ("a.json", "b.json"):
        assert run(folder, "audit", "model.pt", "probe.npz", "--config", "config.json", "-o", name).exit_code == 0
    a, b = (json.loads((folder / name).read_text()) for name in ("a.json", "b.json"))
    assert a["measurements"] == b["measurements"]


@pytest.mark.parametrize(("policy", "code"), [("lenient.json", 0), ("strict.json", 1)])
def test_check_exits_with_the_verdict(folder, policy, code):
    done = run(folder, "check", "model.onnx", "probe.npz", "--config", "config.json", "--policy", policy)
    assert done.exit_code == code, done.output


def unsupported() -> bytes:
    nodes = [
        helper.make_node("StringNormalizer", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["x"], ["y"], name="fine"),
        helper.make_node("RandomNormalLike", ["x"], ["b"], name="second"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def test_check_exits_3_on_an_unsupported_model_and_lists_every_operator(folder):
    (folder / "odd.onnx").write_bytes(unsupported())
    done = run(folder, "check", "odd.onnx", "probe.npz")
    assert done.exit_code == 3
    assert "unsupported_operator" in done.output
    assert "StringNormalizer" in done.output
    assert "RandomNormalLike" in done.output
    assert "Relu" not in done.output


def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(2)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "model_load_failed", id="empty"),
        pytest.param(b"hello world, I am no model", "unsupported_format", id="text"),
        pytest.param(checkpoint(), "unsupported_format", id="a pickled checkpoint"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported_format", id="a picture"),
    ],
)
def test_what_is_no_model_is_refused_with_exit_3(folder, data, code):
    (folder / "bad.onnx").write_bytes(data)
    done = run(folder, "audit", "bad.onnx", "probe.npz")
    assert done.exit_code == 3
    assert code in done.output
    assert "Traceback" not in done.output


def test_a_probe_of_another_shape_is_refused_with_what_was_wanted(folder):
    np.savez(folder / "wide.npz", x=np.zeros((4, 7), dtype=np.float32))
    done = run(folder, "audit", "model.onnx", "wide.npz")
    assert done.exit_code == 3
    assert "shape_mismatch" in done.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"sede": 1}', "sede"),
        ('{"precision": "float16"}', "precision"),
        ("not json", "not valid"),
        ("[" * 100_000, "not valid"),
        ('{"device": "cuda:99"}', "cuda:99"),
    ],
)
def test_a_wrong_configuration_exits_2_and_names_the_mistake(folder, text, words):
    (folder / "bad.json").write_text(text)
    done = run(folder, "audit", "model.pt", "probe.npz", "--config", "bad.json")
    assert done.exit_code == 2
    assert words in done.output


def test_a_missing_file_exits_3_and_an_unwritable_result_2(folder):
    assert run(folder, "audit", "nowhere.pt", "probe.npz").exit_code == 3
    done = run(folder, "audit", "model.pt", "probe.npz", "--config", "config.json", "-o", "no/such/folder.json")
    assert done.exit_code == 2


def test_a_server_that_is_gone_exits_4_never_0(folder):
    done = run(folder, "check", "model.pt", "probe.npz", "--server", "http://127.0.0.1:9")
    assert done.exit_code == 4
    assert "does not answer" in done.output


def test_onnx_of_a_newer_standard_is_refused_not_guessed(folder):
    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    model.opset_import[0].version = 99
    (folder / "new.onnx").write_bytes(model.SerializeToString())
    done = run(folder, "audit", "new.onnx", "probe.npz")
    assert done.exit_code == 3
    assert "99" in done.output


def test_a_command_that_breaks_does_not_say_that_the_gate_failed(folder, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("eigengate.cli.audit.audit_here", broken)
    done = run(folder, "check", "model.pt", "probe.npz")
    assert done.exit_code == 4
    assert "ZeroDivisionError: nobody thought of this" in done.output


@pytest.mark.parametrize("text", ["a: [1", "!!python/object/apply:os.system [true]"])
def test_yaml_that_cannot_be_read_exits_2(folder, text):
    (folder / "bad.yaml").write_text(text)
    done = run(folder, "audit", "model.pt", "probe.npz", "--config", "bad.yaml")
    assert done.exit_code == 2
    assert "invalid_config" in done.output


def test_a_plan_is_shown_and_nothing_is_measured(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # in a narrow terminal cells are folded
    done = run(folder, "audit", "--plan", "model.pt", "probe.npz", "-o", "r.json")
    assert done.exit_code == 0, done.output
    assert "a backward pass for every output" in " ".join(done.output.split())
    assert "operations" in done.output
    assert not (folder / "r.json").exists()


def test_a_plan_of_a_service_is_refused(folder):
    done = run(folder, "audit", "--plan", "model.pt", "probe.npz", "--server", "http://localhost:1")
    assert done.exit_code == 2, done.output
