"""Recurrent layers: the kernel for plain gradients and the formula for all else are one function, and it is eager's."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile
from torch.func import grad, jvp, vjp, vmap
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from eigengate.loading.exported import read_exported
from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved

LENGTHS = torch.tensor([4, 4, 2, 1])
KERNELS = {"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"}

pytestmark = [
    # That a trace keeps what it has seen.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    # That a layer's own list of its weights is set anew.
    pytest.mark.filterwarnings("ignore:The tensor attributes self.layer._flat_weights"),
]

# Exact differentiation on both sides, in float64: only rounding lies between them.
ROUNDING = {"rtol": 1e-9, "atol": 1e-11}


class Reader(nn.Module):
    """All that a recurrent layer gives, side by side: states of every time and the last ones."""

    def __init__(self, layer: nn.RNNBase, packs: bool = False) -> None:
        super().__init__()
        self.layer, self.packs = layer, packs

    def forward(self, x: Tensor) -> Tensor:
        batch_first = self.layer.batch_first
        given = pack_padded_sequence(x, LENGTHS, batch_first=batch_first) if self.packs else x
        states, last = self.layer(given)
        y = states.data if isinstance(states, PackedSequence) else states
        return torch.cat([part.flatten() for part in (y, *(last if isinstance(last, tuple) else [last]))])


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Reader(nn.LSTM(3, 2)),
    "gru": lambda: Reader(nn.GRU(3, 2)),
    "tanh": lambda: Reader(nn.RNN(3, 2)),
    "relu": lambda: Reader(nn.RNN(3, 2, nonlinearity="relu")),
    "lstm, all flags": lambda: Reader(nn.LSTM(3, 3, 2, batch_first=True, bidirectional=True, proj_size=2, dropout=0.5)),
    "lstm, projection without bias": lambda: Reader(nn.LSTM(3, 3, bias=False, proj_size=2)),
    "gru, all flags": lambda: Reader(nn.GRU(3, 2, 2, bias=False, batch_first=True, bidirectional=True, dropout=0.5)),
    "relu, all flags": lambda: Reader(
        nn.RNN(3, 2, 2, nonlinearity="relu", batch_first=True, bidirectional=True, dropout=0.5)
    ),
    "packed lstm": lambda: Reader(nn.LSTM(3, 2, 2, batch_first=True, bidirectional=True), packs=True),
    "packed lstm, projection": lambda: Reader(nn.LSTM(3, 3, bias=False, batch_first=True, proj_size=2), packs=True),
    "packed gru": lambda: Reader(nn.GRU(3, 2, 2, batch_first=True, bidirectional=True), packs=True),
    "packed tanh": lambda: Reader(nn.RNN(3, 2, batch_first=True), packs=True),
    "packed relu": lambda: Reader(nn.RNN(3, 2, batch_first=True, nonlinearity="relu"), packs=True),
}


class Unrolled(nn.Module):
    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = self.cell(x[0])
        return self.cell(x[1], h)


class UnrolledLong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h, c = self.cell(x[0])
        return torch.cat(self.cell(x[1], (h, c)))


CELLS: dict[str, Callable[[], nn.Module]] = {
    "lstm_cell": UnrolledLong,
    "gru_cell": lambda: Unrolled(nn.GRUCell(3, 2)),
    "rnn_tanh_cell": lambda: Unrolled(nn.RNNCell(3, 2)),
    "rnn_relu_cell": lambda: Unrolled(nn.RNNCell(3, 2, nonlinearity="relu")),
}


def drawn(build: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build().double().eval()
        x, v = torch.randn(2, 4, 4, 3, dtype=torch.float64)
    return network, x, v


def traced(network: nn.Module, x: Tensor) -> Program:
    return read_torchscript(saved(torch.jit.trace(network, x, check_trace=False))).program


def scripted(network: nn.Module, _: Tensor) -> Program:
    return read_torchscript(saved(torch.jit.script(network))).program


def exported(network: nn.Module, x: Tensor) -> Program:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(network, (x,)), stream)
    return read_exported(stream.getvalue()).program


def assert_is_eager(program: Program, network: nn.Module, x: Tensor, v: Tensor) -> None:
    """Value, gradient and Hessian product by every route, with respect to input and parameters."""
    names = list(program.parameters)
    theirs = dict(network.named_parameters())
    leaves = [x.clone().requires_grad_(), *(theirs[name] for name in names)]
    point = tuple(leaf.detach() for leaf in leaves)
    direction = (v, *(value.cos() for value in point[1:]))

    def lowered(inputs: Tensor, *weights: Tensor) -> Tensor:
        return program(dict(zip(names, weights, strict=True)), inputs)[0]

    def product(y: Tensor, wrt: list[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        slopes = torch.autograd.grad(y.sin().sum(), wrt, create_graph=True)
        along = sum((slope * part).sum() for slope, part in zip(slopes, direction, strict=True))
        return slopes, torch.autograd.grad(along, wrt)

    y = network(leaves[0])
    slopes, products = product(y, leaves)
    with torch.no_grad():
        torch.testing.assert_close(lowered(*point), y, **ROUNDING)
    own = [value.clone().requires_grad_() for value in point]
    plain = torch.autograd.grad(lowered(*own).sin().sum(), own)
    torch.testing.assert_close(plain, slopes, **ROUNDING)
    torch.testing.assert_close(product(lowered(*own), own), (slopes, products), **ROUNDING)

    gradient = grad(lambda *values: lowered(*values).sin().sum(), argnums=tuple(range(len(point))))
    found, forward = jvp(gradient, point, direction)
    torch.testing.assert_close((found, forward), (slopes, products), **ROUNDING)
    torch.testing.assert_close(vjp(gradient, *point)[1](direction), products, **ROUNDING)
    both = [torch.stack([value, value + 0.1 * part]) for value, part in zip(point, direction, strict=True)]
    singly = [gradient(*(value[i] for value in both)) for i in range(2)]
    torch.testing.assert_close(vmap(gradient)(*both), tuple(map(torch.stack, zip(*singly, strict=True))), **ROUNDING)


@pytest.mark.parametrize("name", LAYERS)
def test_every_derivative_of_a_traced_layer_is_eagers(name: str) -> None:
    network, x, v = drawn(LAYERS[name])
    assert_is_eager(traced(network, x), network, x, v)


@pytest.mark.parametrize("name", CELLS)
def test_every_derivative_of_a_scripted_cell_is_eagers(name: str) -> None:
    network, x, v = drawn(CELLS[name])
    program = scripted(network, x)
    assert f"aten::{name}" in program.operators
    assert_is_eager(program, network, x, v)


@pytest.mark.parametrize("name", ["lstm", "gru, all flags"])
def test_every_derivative_of_an_exported_layer_is_eagers(name: str) -> None:
    network, x, v = drawn(LAYERS[name])
    assert_is_eager(exported(network, x), network, x, v)


@pytest.mark.parametrize("name", ["lstm", "relu, all flags", "packed gru"])
def test_the_kernel_runs_for_plain_gradients_and_for_nothing_else(name: str) -> None:
    network, x, v = drawn(LAYERS[name])
    program = traced(network, x)
    (kernel,) = (operator for operator in program.operators if operator in KERNELS)

    def lowered(inputs: Tensor) -> Tensor:
        return program(program.parameters, inputs)[0]

    plain = {
        "value": lambda: lowered(x),
        "gradient": lambda: torch.autograd.grad(lowered(leaf).sum(), leaf),
    }
    others = {
        "forward mode": lambda: jvp(lowered, (x,), (v,)),
        "reverse mode": lambda: vjp(lowered, x),
        "batch": lambda: vmap(lowered)(x.unsqueeze(0)),
    }
    leaf = x.clone().requires_grad_()
    for run in plain.values():
        assert kernel in operators_of(run)
    for run in others.values():
        assert kernel not in operators_of(run)


def operators_of(run: Callable[[], object]) -> set[str]:
    with profile() as seen:
        run()
    return {event.name for event in seen.function_events}


def test_single_precision_has_the_gradients_of_both_routes_and_the_second_derivative_that_its_kernel_lacks() -> None:
    network, x, v = drawn(LAYERS["lstm"])
    double = traced(network, x)
    program = double.to(dtype=torch.float32)
    parameters, x, v = program.parameters, x.float(), v.float()
    leaf = x.clone().requires_grad_()
    y = program(parameters, leaf)[0]
    (slope,) = torch.autograd.grad(y.sin().sum(), leaf, create_graph=True)
    gradient = grad(lambda inputs: program(parameters, inputs)[0].sin().sum())
    # A dozen roundings of single precision, on values of order one.
    torch.testing.assert_close(slope.detach(), gradient(x), rtol=1e-5, atol=1e-6)
    (curved,) = torch.autograd.grad((slope * v).sum(), leaf)
    torch.testing.assert_close(curved, jvp(gradient, (x,), (v,))[1], rtol=1e-5, atol=1e-6)
