"""Parameters are told from buffers as the network itself tells them, whatever the exporter did to them."""

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram, Role, parameter_roles
from eigengate.loading.onnx.reader import read_graph
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import ZOO, export

both_exporters = pytest.mark.parametrize(("exporter", "opset"), [("torchscript", 17), ("dynamo", 18)])


def elements(program: OnnxProgram) -> int:
    return sum(value.numel() for value in program.parameters.values())


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def program_of(module: nn.Module, x: Tensor, exporter: str, opset: int) -> OnnxProgram:
    return OnnxProgram(onnx.load_from_string(export(module.eval(), x, exporter, opset)))


@both_exporters
@pytest.mark.parametrize("name", ["residual", "causal_encoder"])
def test_a_fresh_network_keeps_its_parameters_apart(name: str, exporter: str, opset: int) -> None:
    """Ones and zeros of equal length are stored once, running statistics among them."""
    build, inputs = ZOO[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
    x = inputs(torch.Generator().manual_seed(0))
    program = program_of(module, x, exporter, opset)
    assert elements(program) == trained(module)
    assert any("equal constant-filled tensors once" in note for note in program.notes)
    torch.testing.assert_close(program(program.parameters, x)[0], module(x).detach(), rtol=1e-5, atol=1e-6)


class TiedLanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).mean(1))


@both_exporters
def test_tied_weights_count_as_the_exporter_stores_them(exporter: str, opset: int) -> None:
    """The newer exporter folds the transpose of the head away from the table, so that the tie is lost in the file."""
    module = TiedLanguageModel()
    program = program_of(module, torch.zeros(4, 5, dtype=torch.int64), exporter, opset)
    stored = {tuple(value.shape) for value in program.parameters.values()}
    assert (11, 6) in stored
    assert elements(program) in (trained(module), 2 * trained(module))


class Masked(nn.Module):
    """Buffers of every kind beside one scalar parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("causal_mask", torch.full((5, 5), -math.inf).triu(1))
        self.register_buffer("pe", torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
        self.temperature = nn.Parameter(torch.tensor(1.7))
        self.projection = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.projection((x - self.mean) / 0.5 + self.pe)
        scores = self.temperature * (x @ x.transpose(1, 2)) / 2.4 + self.causal_mask
        return (scores.softmax(-1) @ x).mean(1).clamp(-3.0, 3.0)


@both_exporters
def test_masks_tables_and_factors_are_not_trained(exporter: str, opset: int) -> None:
    module = Masked()
    program = program_of(module, torch.randn(4, 5, 6), exporter, opset)
    assert elements(program) == trained(module) == 43
    assert {"temperature", "projection.bias"} <= set(program.parameters)
    assert {"causal_mask", "pe", "mean"} <= set(program.buffers)


@both_exporters
def test_folded_normalisation_is_told(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    module[1].running_mean = torch.tensor([0.3, -0.2])
    program = program_of(module, torch.randn(4, 1, 4, 4), exporter, opset)
    assert any("folded into 1 convolution" in note for note in program.notes)
    # The folded bias takes the place of the normalisation's scale and shift.
    assert elements(program) == trained(module) - 2


@both_exporters
def test_nothing_is_said_of_folding_where_there_was_none(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert program_of(module, torch.randn(4, 1, 4, 4), exporter, opset).notes == ()


class Unaffine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.group = nn.LayerNorm(6, elementwise_affine=False), nn.GroupNorm(2, 4, affine=False)
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.group(self.linear(self.layer(x))).mean(1)


@both_exporters
def test_the_ones_and_zeros_of_a_normalisation_without_scale_are_not_trained(exporter: str, opset: int) -> None:
    module = Unaffine()
    program = program_of(module, torch.randn(4, 4, 6), exporter, opset)
    assert elements(program) == trained(module)


@both_exporters
def test_both_factors_of_a_normalised_weight_are_trained(exporter: str, opset: int) -> None:
    module = nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)))
    program = program_of(module, torch.randn(4, 6), exporter, opset)
    # Exporters may fold direction and length into the one weight that they make.
    assert elements(program) in (trained(module), trained(module) - 4)


def test_each_position_has_its_role() -> None:
    weights = {
        "table": np.ones((7, 3), np.float32),
        "w": np.full((3, 4), 2.0, np.float32),
        "b": np.arange(4, dtype=np.float32),
        "scale": np.arange(4, dtype=np.float32),
        "eps": np.array(1e-3, np.float32),
        "two": np.array(2.0, np.float32),
        "lowest": np.array(-1.0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["ids"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "ids"], ["embedded"]),
        helper.make_node("Identity", ["w"], ["w_alias"]),
        helper.make_node("Transpose", ["w_alias"], ["wt"]),
        helper.make_node("Transpose", ["wt"], ["w_again"]),
        helper.make_node("MatMul", ["embedded", "w_again"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["h1"]),
        helper.make_node("Mul", ["h1", "scale"], ["h2"]),
        helper.make_node("Pow", ["h2", "two"], ["h3"]),
        helper.make_node("Add", ["h3", "eps"], ["h4"]),
        helper.make_node("Clip", ["h4", "lowest"], ["y"]),
    ]
    model = graph_model(nodes, inputs={"x": ["n"]}, outputs=["y"], constants=weights)
    roles = parameter_roles(read_graph(model))
    assert roles == {
        "table": Role.EMBEDDING,
        "w": Role.WEIGHT,
        "b": Role.BIAS,
        "scale": Role.SCALE,
        "eps": Role.BIAS,  # a named scalar may well be trained; only names made up by exporters tell otherwise
        "two": Role.BUFFER,
        "lowest": Role.BUFFER,
    }


def test_a_literal_weight_is_trained_and_a_literal_factor_is_not() -> None:
    weight = helper.make_tensor("value", onnx.TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    factor = helper.make_tensor("value", onnx.TensorProto.FLOAT, [2], [0.5, 0.25])
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Constant", [], ["c"], value=factor),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Mul", ["h", "c"], ["y"]),
    ]
    program = OnnxProgram(graph_model(nodes, inputs={"x": ["n", 2]}, outputs=["y"]))
    assert set(program.parameters) == {"w"}
    assert set(program.buffers) == {"c"}
