"""Branches, loops, scans and functions, against onnxruntime and by hand."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.func import grad, hessian

from eigengate.errors import ModelLoadError
from eigengate.loading.onnx import OnnxProgram, OnnxRuntime, reader
from tests.support.onnx_graphs import graph_model


def value(name: str, element: int = TensorProto.FLOAT, shape: tuple[int, ...] | None = ()) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def repeated_square(times: int) -> onnx.ModelProto:
    """y = (…(x·w)²…)², the factor w captured from outside the body."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Mul", ["v", "w"], ["scaled"]),
            helper.make_node("Mul", ["scaled", "scaled"], ["v_next"]),
        ],
        "body",
        [value("i", TensorProto.INT64), value("go_on", TensorProto.BOOL), value("v", shape=(1, 2))],
        [value("still", TensorProto.BOOL), value("v_next", shape=(1, 2)), value("scaled", shape=(1, 2))],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "m"], ["start"]),
        helper.make_node("Loop", ["times", "yes", "start"], ["end", "history"], body=body),
    ]
    constants = {
        "times": np.array(times),
        "yes": np.array(True),
        "w": np.array([0.5, 2.0], np.float32),
        "m": np.eye(2, dtype=np.float32),
    }
    return graph_model(nodes, inputs={"x": [1, 2]}, outputs=["end", "history"], constants=constants)


def test_a_loop_carries_state_stacks_results_and_sees_outside_values() -> None:
    model = repeated_square(3)
    program, x = OnnxProgram(model), torch.tensor([[1.5, 0.5]])
    for ours, theirs in zip(program(program.parameters, x), OnnxRuntime(model.SerializeToString())(x), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_derivatives_go_through_a_loop() -> None:
    program = OnnxProgram(repeated_square(2)).to(dtype=torch.float64)
    x = torch.tensor([[1.5, 0.5]], dtype=torch.float64)
    # ((x w)² w)² = w⁶ x⁴
    w = torch.tensor([0.5, 2.0], dtype=torch.float64)
    slope = grad(lambda z: program(program.parameters, z)[0].sum())(x)
    torch.testing.assert_close(slope, 4 * w**6 * x**3)
    curvature = hessian(lambda z: program(program.parameters, z)[0].sum())(x).reshape(2, 2)
    torch.testing.assert_close(curvature, torch.diag((12 * w**6 * x**2).flatten()))


def test_a_branch_is_taken_by_shape() -> None:
    """As in torch's export of squeeze: the condition asks for a size, so it may be decided under any transform."""
    then_branch = helper.make_graph([helper.make_node("Neg", ["x"], ["a"])], "t", [], [value("a", shape=None)])
    else_branch = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["b"])], "e", [], [value("b", shape=None)])
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["size"]),
        helper.make_node("Equal", ["size", "one"], ["single"]),
        helper.make_node("If", ["single"], ["y"], then_branch=then_branch, else_branch=else_branch),
    ]
    model = graph_model(nodes, inputs={"x": ["n"]}, outputs=["y"], constants={"zero": np.array(0), "one": np.array(1)})
    program = OnnxProgram(model)
    assert program({}, torch.tensor([3.0]))[0].tolist() == [-3.0]
    assert program({}, torch.tensor([3.0, 4.0]))[0].tolist() == [9.0, 16.0]
    batched = torch.func.vmap(lambda x: program({}, x)[0])(torch.tensor([[3.0], [4.0]]))
    assert batched.tolist() == [[-3.0], [-4.0]]


def test_a_scan_accumulates() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["total", "item"], ["sum"]), helper.make_node("Identity", ["sum"], ["seen"])],
        "body",
        [value("total", shape=(2,)), value("item", shape=(2,))],
        [value("sum", shape=(2,)), value("seen", shape=(2,))],
    )
    node = helper.make_node("Scan", ["zero", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    model = graph_model(
        [node], inputs={"x": [3, 2]}, outputs=["last", "all"], constants={"zero": np.zeros(2, np.float32)}
    )
    program, x = OnnxProgram(model), torch.arange(6.0).reshape(3, 2)
    last, seen = program(program.parameters, x)
    assert torch.equal(last, x.sum(0))
    assert torch.equal(seen, x.cumsum(0))


def reference(name: str, outer: str) -> onnx.AttributeProto:
    """An attribute whose value is what the calling node gives as ``outer``."""
    return onnx.AttributeProto(name=name, ref_attr_name=outer, type=onnx.AttributeProto.FLOAT)


def scaled_twice() -> onnx.ModelProto:
    """A function with an attribute, calling another function; names inside clash with names outside on purpose."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    factor = helper.make_node("Constant", [], ["y"])
    factor.attribute.append(reference("value_float", "factor"))
    scale = helper.make_function(
        "local", "Scale", ["x"], ["z"], [factor, helper.make_node("Mul", ["x", "y"], ["z"])], opsets, ["factor"]
    )
    inner = helper.make_node("Scale", ["x"], ["once"], domain="local")
    inner.attribute.append(reference("factor", "by"))
    again = helper.make_node("Scale", ["once"], ["z"], domain="local", factor=2.0)
    both = helper.make_function("local", "Both", ["x"], ["z"], [inner, again], opsets, ["by"])
    nodes = [
        helper.make_node("Both", ["x"], ["once"], domain="local", by=3.0, name="call"),
        helper.make_node("Add", ["once", "x"], ["y"]),
    ]
    return graph_model(nodes, inputs={"x": [2]}, outputs=["y"], functions=[scale, both], domains=["local"])


def test_function_bodies_are_expanded_with_their_attributes() -> None:
    model, x = scaled_twice(), torch.tensor([1.0, -2.0])
    program = OnnxProgram(model)
    assert program.operators == ("ai.onnx::Add", "ai.onnx::Mul")
    assert torch.equal(program({}, x)[0], 7 * x)
    assert torch.equal(OnnxRuntime(model.SerializeToString())(x)[0], 7 * x)


def test_a_function_that_calls_itself_is_refused() -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    node = helper.make_node("F", ["x"], ["y"], domain="local")
    function = helper.make_function("local", "F", ["x"], ["y"], [node], opsets)
    model = graph_model([node], inputs={"x": [2]}, outputs=["y"], functions=[function], domains=["local"])
    with pytest.raises(ModelLoadError, match="local::F calls itself"):
        OnnxProgram(model)


def test_functions_that_double_at_every_level_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_NODES", 2_000)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    functions = []
    for level in range(30):
        callee, domain = (f"F{level + 1}", "local") if level < 29 else ("Relu", "")
        calls = [
            helper.make_node(callee, ["x"], ["h"], domain=domain),
            helper.make_node(callee, ["h"], ["y"], domain=domain),
        ]
        functions.append(helper.make_function("local", f"F{level}", ["x"], ["y"], calls, opsets))
    node = helper.make_node("F0", ["x"], ["y"], domain="local")
    model = graph_model([node], inputs={"x": [2]}, outputs=["y"], functions=functions, domains=["local"])
    with pytest.raises(ModelLoadError, match="expands to more than"):
        OnnxProgram(model)


def test_standard_functions_without_their_own_code_run_by_their_body() -> None:
    """AffineGrid is defined by the standard in terms of other operators."""
    schema = onnx.defs.get_schema("AffineGrid", 20)
    assert schema.function_body.node
    theta = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    node = helper.make_node("AffineGrid", ["x", "size"], ["y"], align_corners=1)
    model = graph_model(
        [node], inputs={"x": [2, 2, 3]}, outputs=["y"], constants={"size": np.array([2, 1, 4, 5])}, opset=20
    )
    program = OnnxProgram(model)
    expected = torch.nn.functional.affine_grid(theta, [2, 1, 4, 5], align_corners=True)
    torch.testing.assert_close(program(program.parameters, theta)[0], expected)
