"""What exporters write out in pieces runs as one kernel, and computes the same."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram, OnnxRuntime
from eigengate.loading.onnx.fusion import fuse
from eigengate.loading.onnx.graph import Graph
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import export


class Block(nn.Module):
    """Everything that can be fused, once."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 6)
        self.approximate = approximate
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x)), approximate=self.approximate))


def fused_operators(program: OnnxProgram) -> list[str]:
    return sorted(node.operator for node in fuse(program.graph, program.parameters).nodes)


FUSED = ["Add", "Gelu", "LayerNormalization", "Linear", "Linear"]
EXPORTS = [("torchscript", 12), ("torchscript", 17), ("torchscript", 20), ("dynamo", 18), ("dynamo", 20)]


@pytest.mark.parametrize(("exporter", "opset"), EXPORTS)
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_a_transformer_block_becomes_five_nodes_and_keeps_its_value(
    exporter: str, opset: int, approximate: str
) -> None:
    module = Block(approximate).eval()
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    program = OnnxProgram(onnx.load_from_string(export(module, x, exporter, opset)))
    assert fused_operators(program) == FUSED
    # A few roundings of single precision.
    torch.testing.assert_close(program(program.parameters, x)[0], module(x).detach(), rtol=1e-5, atol=1e-6)


def test_the_report_lists_the_operators_of_the_file() -> None:
    x = torch.zeros(3, 4, 6)
    program = OnnxProgram(onnx.load_from_string(export(Block().eval(), x, "torchscript", 12)))
    assert {"ai.onnx::Erf", "ai.onnx::ReduceMean", "ai.onnx::MatMul"} <= set(program.operators)
    assert not any("Linear" in name for name in program.operators)


def linear(**changes: object) -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    constants = {"w": np.ones((2, 3), np.float32), "b": np.arange(3, dtype=np.float32)}
    options = {"inputs": {"x": ["n", 2]}, "outputs": ["y"], "constants": constants}
    return graph_model(nodes, **(options | changes))


def test_a_value_that_something_else_reads_is_kept() -> None:
    model = linear(outputs=["y", "h"])
    program, x = OnnxProgram(model), torch.ones(4, 2)
    assert fused_operators(program) == ["Add", "MatMul"]
    for ours, theirs in zip(program(program.parameters, x), OnnxRuntime(model.SerializeToString())(x), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("bias", [np.ones((4, 3)), np.ones((1, 3)), np.ones(1), np.ones(())])
def test_an_addend_that_is_no_bias_stays_an_addition(bias: np.ndarray) -> None:
    constants = {"w": np.ones((2, 3), np.float32), "b": bias.astype(np.float32)}
    program = OnnxProgram(linear(constants=constants))
    assert fused_operators(program) == ["Add", "MatMul"]
    assert program(program.parameters, torch.ones(4, 2))[0].tolist() == [[3.0] * 3] * 4


def gelu_like(factor: float, shift: float, name: str = "val_1") -> onnx.ModelProto:
    nodes = [
        helper.make_node("Div", ["x", "val_0"], ["u"]),
        helper.make_node("Erf", ["u"], ["e"]),
        helper.make_node("Add", ["e", name], ["t"]),
        helper.make_node("Mul", ["x", "t"], ["v"]),
        helper.make_node("Mul", ["v", "val_2"], ["y"]),
    ]
    numbers = {"val_0": 2**0.5, name: shift, "val_2": factor}
    constants = {name: np.array(value, np.float32) for name, value in numbers.items()}
    return graph_model(nodes, inputs={"x": ["n"]}, outputs=["y"], constants=constants)


@pytest.mark.parametrize(("factor", "shift", "fused"), [(0.5, 1.0, True), (0.51, 1.0, False), (0.5, 0.9, False)])
def test_other_numbers_are_another_function(factor: float, shift: float, fused: bool) -> None:
    model = gelu_like(factor, shift)
    program, x = OnnxProgram(model), torch.linspace(-2, 2, 5)
    assert (fused_operators(program) == ["Gelu"]) is fused
    torch.testing.assert_close(program({}, x)[0], OnnxRuntime(model.SerializeToString())(x)[0], rtol=1e-6, atol=1e-6)


def test_a_trained_number_is_no_number_of_a_function() -> None:
    """Its value may be one at the moment, but derivatives are taken by it."""
    program = OnnxProgram(gelu_like(0.5, 1.0, name="layer.offset"))
    assert set(program.parameters) == {"layer.offset"}
    assert len(fused_operators(program)) == 5
    shifted = program({"layer.offset": torch.tensor(3.0)}, torch.ones(1))[0]
    torch.testing.assert_close(shifted, torch.tensor([0.5 * (torch.erf(torch.tensor(0.5**0.5)) + 3.0)]))


def test_fusing_leaves_the_graph_it_is_given_alone() -> None:
    graph: Graph = OnnxProgram(gelu_like(0.5, 1.0)).graph
    before = graph.nodes
    fuse(graph)
    assert graph.nodes is before
    assert len(before) == 5
