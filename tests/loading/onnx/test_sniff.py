"""ONNX is told by content alone."""

import io
import zipfile

import pytest
import torch
from onnx import ModelProto, helper

from eigengate.loading.onnx import is_onnx
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import exported


@pytest.mark.parametrize(("exporter", "opset"), [("torchscript", 17), ("dynamo", 18)])
def test_exported_files_are_recognised(exporter: str, opset: int) -> None:
    assert is_onnx(exported("mlp", exporter, opset))


def test_a_file_with_functions_is_recognised() -> None:
    body = helper.make_function(
        "local", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    node = helper.make_node("F", ["x"], ["y"], domain="local")
    model = graph_model([node], inputs={"x": [1]}, outputs=["y"], functions=[body], domains=["local"])
    assert is_onnx(model.SerializeToString())


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr("data.pkl", "x")
    return file.getvalue()


def weights() -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.ones(2)}, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x08",
        b"hello, world",
        b"\x93NUMPY\x01\x00",
        archive(),
        weights(),
        ModelProto(ir_version=8).SerializeToString(),
        b"\x08" + b"\xff" * 20,
        bytes(range(256)),
    ],
)
def test_other_content_is_not(data: bytes) -> None:
    assert not is_onnx(data)


def test_a_file_cut_short_is_not() -> None:
    assert not is_onnx(exported("mlp", "torchscript", 17)[:-1])
