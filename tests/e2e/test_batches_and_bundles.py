"""Whole audits of ONNX files as exporters leave them: weights in other files, batch sizes of their own."""

import io
import json
import zipfile

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

import eigengate
from eigengate.cli.main import app
from eigengate.errors import ModelError
from tests.support.bundles import apart, tarred, zipped
from tests.support.onnx_graphs import graph_model
from tests.support.server import SERVE, finished, serving

X = np.random.default_rng(0).standard_normal((6, 6), np.float32)
V, W = (np.random.default_rng(k).standard_normal(shape, np.float32) for k, shape in ((1, (6, 24)), (2, (24, 3))))
QUICK = {"device": "cpu", "precision": "float64", "quantities": ["input_jacobian", "ntk", "hessian"]}
VALUES = ("input_jacobian.operator_norm", "ntk.operator_norm", "hessian.lambda_max")


def network(*between: onnx.NodeProto, batch: int | str = "batch", **constants: np.ndarray) -> bytes:
    """Two layers, with nodes that make t from h in between."""
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["p"]),
        helper.make_node("Tanh", ["p"], ["h"]),
        *between,
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    constants = {"v": V, "w": W, **constants}
    return graph_model(nodes, inputs={"x": [batch, 6]}, outputs=["y"], constants=constants).SerializeToString()


def plain(batch: int | str = "batch") -> bytes:
    return network(helper.make_node("Identity", ["h"], ["t"]), batch=batch)


def written_in(size: int) -> bytes:
    return network(helper.make_node("Reshape", ["h", "s"], ["t"]), s=np.array([1, -1] if size == 1 else [size, 24]))


def shrinking(batch: int | str) -> bytes:
    """Hidden values shrink until their sum is below a limit: how often depends on the data."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["before", "part"], ["after"]),
            helper.make_node("ReduceSum", ["after"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "limit"], ["again"]),
        ],
        "body",
        [scalar("i", TensorProto.INT64, []), scalar("go", TensorProto.BOOL, []), scalar("before", 1, None)],
        [scalar("again", TensorProto.BOOL, []), scalar("after", 1, None)],
    )
    return network(
        helper.make_node("Loop", ["", "yes", "h"], ["t"], body=body),
        batch=batch,
        part=np.array(0.8, np.float32),
        limit=np.array(1, np.float32),
        yes=np.array(True),
    )


def compacting(batch: int | str) -> bytes:
    """The sum of the positive hidden values, found by their places, is added to all."""
    return network(
        helper.make_node("Greater", ["h", "zero"], ["positive"]),
        helper.make_node("NonZero", ["positive"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["places"]),
        helper.make_node("GatherND", ["h", "places"], ["found"]),
        helper.make_node("ReduceSum", ["found"], ["sum"], keepdims=1),
        helper.make_node("Add", ["h", "sum"], ["t"]),
        batch=batch,
        zero=np.array(0, np.float32),
    )


def probe_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=X)
    return stream.getvalue()


def audited(model: bytes, **changes: object) -> eigengate.StabilityReport:
    config = eigengate.AuditConfig.model_validate_json(json.dumps({**QUICK, **changes}))
    return eigengate.audit(eigengate.load_model(model), eigengate.load_probe(probe_bytes()), config)


@pytest.mark.parametrize(
    ("model", "note"),
    [
        (plain(1), "the file was exported for single samples"),
        (plain(4), "the file was exported for batches of exactly 4 samples"),
        (written_in(1), "the network runs only with single samples"),
        (written_in(4), "the network runs only with batches of exactly 4 samples"),
        (written_in(6), "the network runs only with batches of exactly 6 samples"),  # as many as the probe has
    ],
    ids=["declared 1", "declared 4", "written 1", "written 4", "written 6"],
)
def test_a_network_of_one_batch_size_is_measured_as_its_free_twin(model, note):
    fixed, free = audited(model), audited(plain())
    assert fixed.certificate.passed
    assert not fixed.problems
    for name in VALUES:
        assert fixed.value(name) == pytest.approx(free.value(name), rel=1e-9), name  # float64, summed in another order
    assert note in fixed.model.notes[-1]
    assert not any("one by one" in said or "batch" in said for said in free.model.notes)


@pytest.mark.parametrize("network", [shrinking, compacting])
def test_a_network_that_decides_by_its_data_is_measured_sample_by_sample(network):
    report = audited(network(1))
    assert report.certificate.passed
    assert not report.problems
    assert all(report.value(name) > 0 for name in VALUES)
    assert report.model.notes[-1].endswith("because the network decides by its data what to compute")
    with pytest.raises(ModelError, match="depends on the samples beside it") as caught:
        audited(network("batch"))
    assert "batches of one sample" in caught.value.hint


@pytest.fixture(scope="module")
def bundles() -> dict[str, bytes]:
    files = apart(plain())
    assert len(files["model.onnx"]) < 600 < len(files["model.onnx.data"])
    return {
        "model.zip": zipped({f"m/{name}": content for name, content in files.items()}),
        "model.tar": tarred(files),
        "model.tar.gz": tarred(files, "w:gz"),
        "model.onnx": files["model.onnx"],
    }


@pytest.mark.parametrize("name", ["model.zip", "model.tar", "model.tar.gz"])
def test_the_command_audits_a_bundle_as_the_model_it_is(bundles, name, tmp_path):
    (tmp_path / name).write_bytes(bundles[name])
    (tmp_path / "probe.npz").write_bytes(probe_bytes())
    (tmp_path / "config.json").write_text(json.dumps(QUICK))
    paths = [str(tmp_path / file) for file in (name, "probe.npz", "config.json", "report.json")]
    done = CliRunner().invoke(app, ["audit", *paths[:2], "--config", paths[2], "-o", paths[3]])
    assert done.exit_code == 0, done.output
    report = eigengate.StabilityReport.model_validate_json((tmp_path / "report.json").read_bytes())
    whole = audited(plain())
    assert report.certificate.passed
    assert report.model.format == "onnx"
    assert report.model.parameters == whole.model.parameters
    assert report.measurements == whole.measurements


def test_the_command_says_how_to_pack_a_lone_model(bundles, tmp_path):
    for name, content in (("model.onnx", bundles["model.onnx"]), ("probe.npz", probe_bytes())):
        (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "model.onnx"), str(tmp_path / "probe.npz")])
    assert done.exit_code == 3
    assert "zip bundle.zip model.onnx model.onnx.data" in " ".join(done.output.split())


def test_the_service_audits_a_bundle_and_tells_what_is_wrong_with_another(bundles, tmp_path):
    broken = zipped(dict(list(apart(plain()).items())[:1]), zipfile.ZIP_STORED)
    with serving(tmp_path / "data", "serve", "--port", "0", program=SERVE) as server:
        files = {"probe": probe_bytes(), "config": (None, json.dumps({**QUICK, "quantities": ["input_jacobian"]}))}
        answers = [
            httpx.post(f"{server.address}/v1/audits", files={"model": model, **files}, timeout=30)
            for model in (bundles["model.zip"], broken)
        ]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json()["model"]["format"] == "onnx"
        good, bad = (finished(server, answer.json()["id"], within=120) for answer in answers)
        assert (good["status"], good["error"]) == ("succeeded", None)
        report = server.get(f"/v1/audits/{good['id']}/report").json()
        assert report["model"]["format"] == "onnx"
        assert report["model"]["sha256"] == good["model"]["sha256"]
        assert bad["error"]["code"] == "model_load_failed"
        assert "'model.onnx.data', which is not in the bundle" in bad["error"]["detail"]
        assert server.terminate() == 0
