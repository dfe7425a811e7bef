"""What an OnnxProgram promises beyond the right numbers."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.fx.experimental.proxy_tensor import make_fx

from eigengate.errors import ModelExecutionError, UnsupportedOperatorError
from eigengate.loading.onnx import OnnxProgram, read_onnx
from eigengate.loading.program import TensorSpec
from tests.support.onnx_graphs import graph_model
from tests.support.onnx_models import exported, network

TRANSFORMER = ("token_classifier", "torchscript", 14)


def classifier(closing: list[onnx.NodeProto], output: str) -> OnnxProgram:
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"]), *closing]
    return OnnxProgram(graph_model(nodes, inputs={"x": ["n", 2]}, outputs=[output], constants=weights))


def test_inputs_carry_names_types_and_free_sizes() -> None:
    program = OnnxProgram(onnx.load_from_string(exported("lenet", "torchscript", 17)))
    assert program.inputs == (TensorSpec("x", torch.float32, (None, 1, 10, 10)),)
    assert program.to(dtype=torch.float64).inputs[0].dtype == torch.float64


def test_the_model_and_the_program_are_left_as_they_were() -> None:
    model = onnx.load_from_string(exported("residual", "torchscript", 17))
    before = model.SerializeToString(deterministic=True)
    program, x = OnnxProgram(model), network("residual")[1]
    constants = {name: value.clone() for name, value in {**program.parameters, **program.buffers}.items()}
    first = program(program.parameters, x)[0]
    program.to(dtype=torch.float64)
    assert torch.equal(first, program(program.parameters, x)[0])
    assert model.SerializeToString(deterministic=True) == before
    for name, value in {**program.parameters, **program.buffers}.items():
        assert torch.equal(value, constants[name])


def test_shape_arithmetic_leaves_no_trace_in_a_recorded_graph() -> None:
    """The exported graph computes its reshapes from Shape nodes; a recording holds only what the data went through."""
    program, x = OnnxProgram(onnx.load_from_string(exported(*TRANSFORMER))), network(TRANSFORMER[0])[1]
    recorded = make_fx(lambda parameters, value: program(parameters, value)[0])(dict(program.parameters), x)
    targets = {str(node.target) for node in recorded.graph.nodes if node.op == "call_function"}
    assert not any("aten.item" in target or "local_scalar" in target for target in targets)
    torch.testing.assert_close(recorded(dict(program.parameters), x), program(program.parameters, x)[0])


def test_constant_subgraphs_are_evaluated_once() -> None:
    """What is watched is what runs on a call: neither the constants' arithmetic nor a branch that constants decide."""
    outside, inside = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b"))
    then_branch = helper.make_graph([helper.make_node("Exp", ["third"], ["a"])], "t", [], [outside])
    else_branch = helper.make_graph([helper.make_node("Neg", ["third"], ["b"])], "e", [], [inside])
    nodes = [
        helper.make_node("Div", ["one", "three"], ["third"]),
        helper.make_node("If", ["flag"], ["chosen"], then_branch=then_branch, else_branch=else_branch),
        helper.make_node("Mul", ["x", "chosen"], ["y"]),
    ]
    numbers = {"one": np.float32(1), "three": np.float32(3), "flag": np.array(False)}
    constants = {name: np.asarray(value) for name, value in numbers.items()}
    model = graph_model(nodes, inputs={"x": [2]}, outputs=["y"], constants=constants)
    program, x = OnnxProgram(model), torch.tensor([3.0, 6.0])
    assert [name for name, _ in program.watch(program.parameters, x)] == ["y"]
    torch.testing.assert_close(program(program.parameters, x)[0], -x / 3)


def test_double_precision_reaches_casts_and_creations() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node(
            "ConstantOfShape", ["shape"], ["thirds"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.25])
        ),
        helper.make_node("Add", ["single", "thirds"], ["y"]),
    ]
    program = OnnxProgram(graph_model(nodes, inputs={"x": [2]}, outputs=["y"])).to(dtype=torch.float64)
    x = torch.tensor([1 / 3, 1e-9], dtype=torch.float64)
    (y,) = program({}, x)
    assert torch.equal(y, x + 0.25)


def test_a_closing_softmax_is_found_behind_reshapes_and_other_outputs_keep_their_probabilities() -> None:
    closing = [
        helper.make_node("Unsqueeze", ["logits", "last"], ["l"]),
        helper.make_node("Softmax", ["l"], ["p"], axis=1),
        helper.make_node("Squeeze", ["p", "last"], ["y"]),
        helper.make_node("ReduceMax", ["p"], ["confidence"]),
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"]), *closing]
    constants = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "last": np.array([2])}
    program = OnnxProgram(graph_model(nodes, inputs={"x": ["n", 2]}, outputs=["y", "confidence"], constants=constants))
    open_ended = program.without_closing_softmax(0)
    assert open_ended is not None
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    logits, confidence = open_ended(open_ended.parameters, x)
    assert torch.equal(logits, x @ program.parameters["w"])
    assert torch.equal(confidence, program(program.parameters, x)[1])
    assert open_ended.without_closing_softmax(0) is None
    assert program.without_closing_softmax(1) is None


def test_a_softmax_written_out_is_taken_off_too() -> None:
    """As exporters of old opsets do it, whose operator normalises over everything from an axis on."""
    closing = [
        helper.make_node("ReduceMax", ["logits"], ["m"], axes=[1]),
        helper.make_node("Sub", ["logits", "m"], ["d"]),
        helper.make_node("Exp", ["d"], ["e"]),
        helper.make_node("ReduceSum", ["e"], ["s"], axes=[1]),
        helper.make_node("Div", ["e", "s"], ["y"]),
    ]
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"]), *closing]
    program = OnnxProgram(graph_model(nodes, inputs={"x": ["n", 2]}, outputs=["y"], constants=weights, opset=12))
    open_ended = program.without_closing_softmax(0)
    assert open_ended is not None
    assert open_ended.outputs == ("logits",)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_a_closing_softmax_is_taken_off(operator: str) -> None:
    closing = [
        helper.make_node(operator, ["logits"], ["p"], axis=1),
        helper.make_node("Cast", ["p"], ["q"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["q"], ["y"]),
    ]
    program = classifier(closing, "y")
    open_ended = program.without_closing_softmax(0)
    assert open_ended is not None
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(open_ended(open_ended.parameters, x)[0], x @ program.parameters["w"])
    assert open_ended.without_closing_softmax(0) is None


def test_a_softmax_in_the_middle_stays() -> None:
    middle = [helper.make_node("Softmax", ["logits"], ["p"]), helper.make_node("Neg", ["p"], ["y"])]
    assert classifier(middle, "y").without_closing_softmax(0) is None


def test_watched_values_are_those_of_onnxruntime() -> None:
    lowered, x = read_onnx(exported("residual", "torchscript", 17)), network("residual")[1]
    watched = dict(lowered.program.watch(lowered.program.parameters, x))
    theirs = lowered.runtime.values(list(watched), x)
    assert len(theirs) == len(watched) > 5
    for name, value in theirs.items():
        torch.testing.assert_close(watched[name], value, rtol=1e-5, atol=1e-6)


def test_many_inputs_and_outputs_keep_their_order() -> None:
    nodes = [
        helper.make_node("Sub", ["a", "b"], ["difference"]),
        helper.make_node("Split", ["a"], ["s", "t"], axis=0, num_outputs=2),
    ]
    model = graph_model(nodes, inputs={"a": [2], "b": [2]}, outputs=["t", "difference", "s"])
    program = OnnxProgram(model)
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    assert [spec.name for spec in program.inputs] == ["a", "b"]
    t, difference, s = program({}, a, b)
    assert (t.tolist(), difference.tolist(), s.tolist()) == ([2.0], [-9.0, -18.0], [1.0])


def test_a_failure_while_running_names_the_node() -> None:
    program = classifier([helper.make_node("Add", ["logits", "x"], ["y"], name="the_sum")], "y")
    with pytest.raises(ModelExecutionError, match=r"node 'the_sum' \(ai.onnx::Add\) failed") as caught:
        program(program.parameters, torch.ones(4, 2))
    assert caught.value.context["operator"] == "Add"


def test_missing_parameters_and_inputs_are_named() -> None:
    program = classifier([], "logits")
    with pytest.raises(ModelExecutionError, match="parameter 'w'"):
        program({}, torch.ones(1, 2))
    with pytest.raises(ModelExecutionError, match=r"takes 1 inputs \(x\), 2 given"):
        program(program.parameters, torch.ones(1, 2), torch.ones(1, 2))


def test_onnxruntime_failures_are_ours() -> None:
    lowered = read_onnx(exported("mlp", "torchscript", 17))
    with pytest.raises(ModelExecutionError, match="onnxruntime failed"):
        lowered.runtime(torch.ones(1, 99))
    assert lowered.runtime.name.startswith("onnxruntime ")


def test_dropout_in_training_mode_is_refused_with_a_remedy():
    nodes = [helper.make_node("Dropout", ["x", "", "training"], ["y"])]
    training = numpy_helper.from_array(np.array(True), "training")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "g", [x], [y], [training])
    program = OnnxProgram(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    with pytest.raises(UnsupportedOperatorError, match="training mode") as caught:
        program(program.parameters, torch.ones(2, 3))
    assert "evaluation mode" in caught.value.hint
