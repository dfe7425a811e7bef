"""RNN, GRU and LSTM: values against onnxruntime, derivatives of exported layers against torch's own."""

from collections.abc import Sequence
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram
from tests.support.onnx_models import export
from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTH, BATCH, INPUTS, HIDDEN = 4, 3, 2, 2

every_layer = pytest.mark.parametrize("name", GATES)
every_direction = pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])


def operands(name: str, direction: str = "forward", absent: Sequence[str] = ()) -> list[Tensor | None]:
    """All inputs of the node in their order, None for absent ones."""
    generator = torch.Generator().manual_seed(0)
    ways, rows = 1 + (direction == "bidirectional"), GATES[name] * HIDDEN
    shapes = {"x": (LENGTH, BATCH, INPUTS), "W": (ways, rows, INPUTS), "R": (ways, rows, HIDDEN), "B": (ways, 2 * rows)}
    shapes |= {"lengths": (), "h": (ways, BATCH, HIDDEN)}
    if name == "LSTM":
        shapes |= {"c": (ways, BATCH, HIDDEN), "P": (ways, 3 * HIDDEN)}
    made: dict[str, Tensor] = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    made["lengths"] = torch.tensor([4, 1, 3], dtype=torch.int32)
    return [None if key in absent else value for key, value in made.items()]


def bounded(inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Small enough that states which no activation bounds do not grow from step to step."""
    return [x / 2 if x is not None and x.is_floating_point() else x for x in inputs]


def options(name: str, **attributes: Any) -> dict[str, Any]:
    return {"outputs": 3 if name == "LSTM" else 2, "hidden_size": HIDDEN, **attributes}


@every_layer
@every_direction
@pytest.mark.parametrize("opset", [7, 14, 22])
def test_whatever_is_absent_the_states_are_those_of_onnxruntime(name: str, direction: str, opset: int) -> None:
    given = options(name, opset=opset, direction=direction)
    for absent in ((), ("lengths",), ("h",), ("B", "lengths"), ("c", "P"), ("lengths", "P"), ("lengths", "h", "c")):
        for clip in ({}, {"clip": 0.3}):
            assert_agrees_with_onnxruntime(name, *operands(name, direction, absent), **given, **clip)


@every_direction
@pytest.mark.parametrize(("name", "attribute"), [("GRU", "linear_before_reset"), ("LSTM", "input_forget")])
def test_the_variant_of_a_cell_is_that_of_onnxruntime(name: str, attribute: str, direction: str) -> None:
    for absent in ((), ("B",), ("lengths", "P")):
        inputs = operands(name, direction, absent)
        plain, changed = (
            run_node(name, *inputs, opset=14, **options(name, direction=direction, **{attribute: is_on}))
            for is_on in (0, 1)
        )
        # The attribute says something: otherwise agreement would prove nothing.
        assert not torch.allclose(plain[0], changed[0])
        for clip in ({}, {"clip": 0.3}):
            given = options(name, opset=14, direction=direction, **{attribute: 1}, **clip)
            assert_agrees_with_onnxruntime(name, *inputs, **given)


@every_layer
@pytest.mark.parametrize(
    "function",
    ["Affine", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh", "Softplus", "Softsign", "ThresholdedRelu"],
)
def test_activations_take_their_numbers_in_order(name: str, function: str) -> None:
    chain = {"RNN": [function], "GRU": [function, "LeakyRelu"], "LSTM": ["HardSigmoid", function, "ScaledTanh"]}[name]
    numbers = {"activation_alpha": [0.4, 0.3, 0.7], "activation_beta": [0.2, 0.6, 0.5]}
    both = {key: values[: len(chain)] * 2 for key, values in numbers.items()}
    inputs = bounded(operands(name))
    assert_agrees_with_onnxruntime(name, *inputs, **options(name, opset=14, activations=chain, **numbers))
    inputs = bounded(operands(name, "bidirectional"))
    given = options(name, opset=14, activations=chain * 2, direction="bidirectional", **both)
    assert_agrees_with_onnxruntime(name, *inputs, **given)


@pytest.mark.parametrize("function", ["Elu", "HardSigmoid", "LeakyRelu"])
def test_activations_without_numbers_have_the_operators_own(function: str) -> None:
    assert_agrees_with_onnxruntime("RNN", *operands("RNN"), **options("RNN", opset=7, activations=[function]))


@every_layer
@every_direction
def test_layout_1_is_layout_0_with_the_batch_first(name: str, direction: str) -> None:
    """onnxruntime does not have it: the witness is layout 0, which it has."""
    inputs = operands(name, direction)
    x, *parameters = inputs
    assert x is not None
    swapped = [x.transpose(0, 1).contiguous(), *parameters]
    for place in (5, 6) if name == "LSTM" else (5,):
        state = inputs[place]
        assert state is not None
        swapped[place] = state.transpose(0, 1).contiguous()
    y, *last = run_node(name, *inputs, opset=14, **options(name, direction=direction))
    batched, *last_batched = run_node(name, *swapped, opset=14, **options(name, direction=direction, layout=1))
    assert torch.equal(batched, y.permute(2, 0, 1, 3))
    for one, other in zip(last_batched, last, strict=True):
        assert torch.equal(one, other.transpose(0, 1))


def test_an_unknown_activation_is_refused_by_name() -> None:
    with pytest.raises(Exception, match="Gelu"):
        run_node("RNN", *operands("RNN"), opset=14, **options("RNN", activations=["Gelu"]))


@every_layer
@pytest.mark.parametrize("attributes", [{}, {"direction": "bidirectional", "clip": 2.0}])
def test_cells_have_two_derivatives_by_every_operand(name: str, attributes: dict[str, Any]) -> None:
    inputs = [x for x in operands(name, attributes.get("direction", "forward")) if x is not None]
    check_every_derivative(node_program(name, *inputs, opset=14, **options(name, **attributes)), inputs)


class Last(nn.Module):
    """What a recurrent layer says at the end, so that the graph has one output."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


def recurrent_layer(kind: type[nn.RNNBase], bidirectional: bool) -> nn.Module:
    layer = kind(INPUTS, 3, num_layers=2, bidirectional=bidirectional, batch_first=True)
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return Last(layer).eval()


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_exported_layers_have_the_values_and_gradients_of_torch(kind: type[nn.RNNBase], bidirectional: bool) -> None:
    module = recurrent_layer(kind, bidirectional)
    x = torch.randn(BATCH, LENGTH, INPUTS, generator=torch.Generator().manual_seed(1))
    program = OnnxProgram(onnx.load_from_string(export(module, x, "torchscript", 14))).to(dtype=torch.float64)
    module, x = module.double(), x.double()
    expected = module(x)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    slopes = torch.autograd.grad((expected * weights).sum(), list(module.parameters()))
    leaves = {key: value.detach().clone().requires_grad_() for key, value in program.parameters.items()}
    (y,) = program(leaves, x)
    # The same sums in another order: rounding of float64.
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)
    found = torch.autograd.grad((y * weights).sum(), list(leaves.values()), allow_unused=True)
    # The file reorders and stacks weights: the gradient as a set of numbers is what both share.
    ours = torch.cat([slope.flatten() for slope in found if slope is not None]).sort().values
    theirs = torch.cat([slope.flatten() for slope in slopes]).sort().values
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_lstm_kernel_and_the_formula_are_one_function(direction: str) -> None:
    given = [x for x in operands("LSTM", direction, ("lengths", "P")) if x is not None]
    inputs = [x.double().requires_grad_() for x in given]
    shown = operands("LSTM", direction, ("lengths", "P"))[:-1]
    program = node_program("LSTM", *shown, opset=14, **options("LSTM", direction=direction)).to(dtype=torch.float64)

    def loss(*values: Tensor) -> Tensor:
        return torch.stack([(y * y.cos()).sum() for y in program({}, *values)]).sum()

    def steepness(*values: Tensor) -> Tensor:
        return torch.stack([(s * s).sum() for s in torch.func.grad(loss, tuple(range(len(values))))(*values)]).sum()

    places = tuple(range(len(inputs)))
    plain, transformed = loss(*inputs), torch.func.vjp(loss, *inputs)[0]
    # Both sum in float64, in different orders.
    torch.testing.assert_close(plain, transformed, rtol=1e-11, atol=1e-11)
    once = torch.autograd.grad(plain, inputs)
    for one, other in zip(once, torch.func.grad(loss, places)(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    kept = torch.autograd.grad(loss(*inputs), inputs, create_graph=True)
    twice = torch.autograd.grad(torch.stack([(s * s).sum() for s in kept]).sum(), inputs)
    for one, other in zip(twice, torch.func.grad(steepness, places)(*inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_the_kernel_stands_aside_where_the_ways_have_different_activations() -> None:
    inputs = operands("LSTM", "bidirectional", ("lengths", "P"))
    chain = ["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Softsign", "Tanh"]
    given = options("LSTM", opset=14, direction="bidirectional", activations=chain)
    assert_agrees_with_onnxruntime("LSTM", *inputs, **given)


def test_the_kernel_runs_where_only_a_gradient_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    kernel = torch.lstm
    monkeypatch.setattr(torch, "lstm", lambda *values: calls.append(1) or kernel(*values))
    shown = operands("LSTM", "forward", ("lengths", "P"))
    given = [x for x in shown if x is not None]
    program = node_program("LSTM", *shown, opset=14, **options("LSTM"))
    program({}, *given)
    assert len(calls) == 1
    torch.func.vjp(lambda x: program({}, x, *given[1:])[0], given[0])
    assert len(calls) == 1
