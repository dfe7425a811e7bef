"""What a loaded network does besides its arithmetic: batches of the size it was exported for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

import eigengate
from eigengate.errors import ModelError, ModelExecutionError
from eigengate.loading.batching import Batching
from eigengate.loading.certificate import certify
from eigengate.loading.functional_model import FunctionalModel
from eigengate.loading.program import TensorSpec
from support.modules import functional
from support.onnx_graphs import graph_model

X = torch.linspace(-1.0, 1.0, 8 * 6).reshape(8, 6).cos()


class Baked(nn.Module):
    """A network whose batch size of three stands in its own code, as in a file exported without dynamic axes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.reshape(3, 2, 3).tanh().reshape(3, 6))


@pytest.fixture
def baked() -> tuple[FunctionalModel, nn.Linear]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Baked()
    model = functional(module)
    specs = (TensorSpec("x", torch.float32, (3, 6)),)
    return replace(model, program=replace(model.program, specs=specs)), module.head


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_network_exported_for_another_batch_size_answers_for_every_sample(baked, n):
    model, head = baked
    expected = head(X[:n].tanh()).detach()
    torch.testing.assert_close(model.apply(model.params, X[:n]).detach(), expected)
    torch.testing.assert_close(model.witness((X[:n],)), expected)


def test_derivatives_of_a_fixed_batch_are_those_of_the_sample_alone(baked):
    model, head = baked
    jacobian = torch.vmap(torch.func.jacrev(lambda x: model.apply(model.params, x.unsqueeze(0))[0]))(X)
    torch.testing.assert_close(jacobian, (head.weight * (1 - X.tanh() ** 2).unsqueeze(1)).detach())


def test_a_network_of_fixed_batch_is_certified(baked):
    certificate = certify(baked[0], (X,), 0, torch.Generator().manual_seed(0))
    assert certificate.passed
    assert all(check.error is not None for check in certificate.checks)


MIXED = X * torch.tensor([1.0, -1, 1, 1, -1, 1, -1, -1]).unsqueeze(1)  # its hidden sums have both signs
WEIGHTS = {
    "v": np.sin(np.arange(36, dtype=np.float32)).reshape(6, 6),
    "w": np.cos(np.arange(18, dtype=np.float32)).reshape(6, 3),
}
HIDDEN = (helper.make_node("MatMul", ["x", "v"], ["h"]), helper.make_node("Tanh", ["h"], ["t"]))


def onnx_model(*nodes, batch="batch", outputs=("y",), **constants) -> FunctionalModel:
    model = graph_model(
        [*HIDDEN, *nodes], inputs={"x": [batch, 6]}, outputs=outputs, constants={**WEIGHTS, **constants}, opset=17
    )
    return eigengate.load_model(model.SerializeToString())


def with_size_written_in(size: int) -> FunctionalModel:
    """The common mistake of exporters: the input is declared free, but a reshape has the size of the example batch."""
    return onnx_model(
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
        shape=np.array([1, -1] if size == 1 else [size, 6]),
    )


def plain() -> FunctionalModel:
    return onnx_model(helper.make_node("MatMul", ["t", "w"], ["y"]))


def decided_by_value(batch: int | str) -> FunctionalModel:
    """One sample's sum decides whether its hidden values change their sign."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["t"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Identity"), ("else", "Neg"))
    }
    return onnx_model(
        helper.make_node("ReduceSum", ["t"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["u"], **branches),
        helper.make_node("MatMul", ["u", "w"], ["y"]),
        batch=batch,
        zero=np.array(0, np.float32),
    )


@pytest.mark.parametrize("size", [1, 2, 4, 32])
@pytest.mark.parametrize("n", [1, 4, 8])
def test_a_batch_size_that_an_exporter_wrote_into_the_network_is_found(size, n):
    model, expected = with_size_written_in(size), plain()
    wanted = expected.apply(expected.params, X[:n])
    for same in (model, model.settled(X[:n])):
        torch.testing.assert_close(same.apply(same.params, X[:n]), wanted)
        torch.testing.assert_close(same.witness((X[:n],)), wanted)
    assert model.fixed_batch is None
    assert model.settled(X[:n]).batching == Batching(size, by_value=False, origin="written")


def test_what_was_found_stands_in_the_notes():
    (alone,) = with_size_written_in(1).settled(X).notes[-1:]
    assert alone.startswith("the input is declared for any batch, but the network runs only with single samples")
    (filled,) = with_size_written_in(4).settled(X).notes[-1:]
    assert "batches of exactly 4 samples" in filled
    assert filled.endswith("every sample is run alone, repeated to fill a batch")
    assert plain().settled(X).notes == plain().program.notes


def test_derivatives_of_a_size_written_in_are_those_of_the_sample_alone():
    baked, free = with_size_written_in(4).settled(X), plain()
    jacobians = [
        torch.vmap(torch.func.jacfwd(lambda x, m=model: m.apply(m.params, x.unsqueeze(0))[0]))(X)
        for model in (baked, free)
    ]
    torch.testing.assert_close(*jacobians)
    gradients = [
        torch.func.grad(lambda params, m=model: m.apply(params, X).square().sum())(model.params)
        for model in (baked, free)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("size", [1, 4])
def test_a_network_with_a_size_written_in_is_certified(size):
    certificate = certify(with_size_written_in(size), (X,), 0, torch.Generator().manual_seed(0))
    assert certificate.passed
    assert all(check.error is not None for check in certificate.checks)


def test_a_network_that_runs_with_no_batch_fails_as_it_did_at_first():
    model = onnx_model(
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
        shape=np.array([-1, 7]),
    )
    for same in (model, model.settled(X)):
        with pytest.raises(ModelExecutionError, match=r"shape '\[-1, 7\]' is invalid for input of size 48"):
            same.apply(same.params, X)


def test_several_inputs_of_fixed_batch_are_run_sample_by_sample():
    nodes = [helper.make_node("Mul", ["x", "z"], ["p"]), helper.make_node("Reshape", ["p", "shape"], ["y"])]
    file = graph_model(
        nodes, inputs={"x": [2, 3], "z": ["batch", 3]}, outputs=["y"], constants={"shape": np.array([2, 3])}
    )
    model = eigengate.load_model(file.SerializeToString())
    x, z = X[:5, :3], X[:5, 3:]
    assert model.fixed_batch == 2
    torch.testing.assert_close(model.apply({}, x, z), x * z)
    torch.testing.assert_close(model.witness((x, z)), x * z)


def test_a_network_that_decides_by_its_data_is_run_one_sample_after_the_other():
    model = decided_by_value(1).settled(MIXED)
    assert model.batching == Batching(1, by_value=True, origin="declared")
    assert "one after the other, because the network decides by its data what to compute" in model.notes[-1]
    hidden = (MIXED @ torch.tensor(WEIGHTS["v"])).tanh()
    signs = hidden.sum(1, keepdim=True).sign()
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(model.apply(model.params, MIXED), signs * hidden @ torch.tensor(WEIGHTS["w"]))
    torch.testing.assert_close(model.witness((MIXED,)), model.apply(model.params, MIXED))
    assert certify(decided_by_value(1), (MIXED,), 0, torch.Generator().manual_seed(0)).passed


def test_a_free_batch_that_decides_by_its_data_is_run_one_by_one_once_that_is_known():
    model = decided_by_value("batch").settled(MIXED)
    assert model.batching == Batching(1, by_value=True, origin="free")
    single = decided_by_value(1).settled(MIXED)
    assert torch.equal(model.apply(model.params, MIXED), single.apply(single.params, MIXED))


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (helper.make_node("SplitToSequence", ["t"], ["s"], axis=1), "a sequence"),
        (
            helper.make_node(
                "Optional", [], ["s"], type=helper.make_optional_type_proto(helper.make_tensor_type_proto(1, None))
            ),
            "an empty optional",
        ),
    ],
)
def test_an_output_that_is_no_tensor_is_refused_only_where_it_is_selected(node, what):
    model = onnx_model(node, helper.make_node("MatMul", ["t", "w"], ["y"]), outputs=("s", "y"))
    with pytest.raises(ModelError, match=f"output 's' is {what}, no tensor") as caught:
        model.apply(model.params, X)
    assert "['s', 'y']" in caught.value.hint
    chosen = model.select("y", None, cut_softmax=True)
    assert chosen.apply(chosen.params, X).shape == (8, 3)
    assert torch.equal(chosen.apply(chosen.params, X), model.select(1, None, cut_softmax=True).apply(chosen.params, X))


def test_an_onnx_network_of_several_outputs_is_witnessed_on_the_selected_one():
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    file = graph_model(
        [*HIDDEN, helper.make_node("SplitToSequence", ["t"], ["s"], axis=1), helper.make_node("Exp", ["t"], ["y"])],
        inputs={"x": ["batch", 6]},
        outputs=["s", "y"],
        constants={"v": WEIGHTS["v"]},
    )
    file.graph.output[0].CopyFrom(sequence)
    model = eigengate.load_model(file.SerializeToString()).select("y", None, cut_softmax=True)
    torch.testing.assert_close(model.witness((X,)), model.apply(model.params, X))
