"""Sequences of unequal length: PyTorch's nested tensors, packed sequences, and their alignment."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved

pytestmark = [
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
    # That a trace keeps what it has seen.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

# Exact differentiation both times, in float64: only rounding lies between them.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


class PaddedEncoder(nn.Module):
    """PyTorch's encoder, whose inference path leaves the padding out of its sequences."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, missing: Tensor) -> Tensor:
        return self.head(self.encoder(x, src_key_padding_mask=missing))


def padded() -> tuple[nn.Module, Tensor, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PaddedEncoder().eval()
        x = torch.randn(3, 4, 8)
    missing = torch.arange(4) >= torch.tensor([[4], [2], [3]])
    return network, x, missing


def test_nested_tensors_of_the_inference_path_give_its_numbers_and_their_derivatives():
    network, x, missing = padded()
    with torch.no_grad():
        traced = torch.jit.trace(network, (x, missing))
    assert "_nested_tensor_from_mask" in str(traced.inlined_graph)
    lowered = read_torchscript(saved(traced))
    program = lowered.program
    with torch.no_grad():
        expected = network(x, missing)
    # The fused kernel adds in another order, in float32 and on values of order one.
    torch.testing.assert_close(program(program.parameters, x, missing)[0], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lowered.runtime(x, missing)[0], expected, rtol=1e-5, atol=1e-6)
    double = program.to(dtype=torch.float64)

    def score(inputs: Tensor) -> Tensor:
        return double(double.parameters, inputs, missing)[0].sin().sum()

    point, v, step = x.double(), x.double().cos(), 1e-6
    difference = (score(point + step * v) - score(point - step * v)) / (2 * step)
    # A central difference errs by step²·|f'''| ≈ 1e-11 and by rounding/step ≈ 1e-9.
    torch.testing.assert_close((grad(score)(point) * v).sum(), difference, rtol=1e-6, atol=1e-7)
    assert not grad(score)(point)[missing].any(), "padding does not matter"


def test_the_path_taken_while_gradients_are_recorded_is_the_one_of_a_scripted_encoder_and_of_its_witness():
    network, x, missing = padded()
    lowered = read_torchscript(saved(torch.jit.script(network)))
    expected = network(x, missing).detach()
    torch.testing.assert_close(
        lowered.program(lowered.program.parameters, x, missing)[0], expected, rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(lowered.runtime(x, missing)[0], expected, rtol=0, atol=0)


class PackedReader(nn.Module):
    def __init__(self, layer: type[nn.RNNBase], *, bidirectional: bool, sort: bool) -> None:
        super().__init__()
        self.layer = layer(4, 3, 2, batch_first=True, bidirectional=bidirectional)
        self.sort = sort

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=not self.sort)
        states, _ = self.layer(packed)
        return pad_packed_sequence(states, batch_first=True, padding_value=0.5)


@pytest.mark.parametrize("form", ["traced", "scripted"])
@pytest.mark.parametrize("sort", [False, True], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_over_packed_sequences_equal_eager_in_both_orders(layer, bidirectional, sort, form):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PackedReader(layer, bidirectional=bidirectional, sort=sort).double().eval()
        x = torch.randn(3, 6, 4, dtype=torch.float64)
    lengths = torch.tensor([2, 5, 1]) if sort else torch.tensor([5, 2, 1])
    script = (
        torch.jit.script(network) if form == "scripted" else torch.jit.trace(network, (x, lengths), check_trace=False)
    )
    program = read_torchscript(saved(script)).program
    parameters = dict(program.parameters)
    for ours, theirs in zip(program(parameters, x, lengths), network(x, lengths), strict=True):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)

    leaves = [tensor.clone().requires_grad_() for tensor in (x, *parameters.values())]
    directions = [tensor.cos().detach() for tensor in leaves]
    for leaf, own in zip(leaves[1:], network.parameters(), strict=True):
        own.data = leaf.data
    wrt = [leaves[0], *network.parameters()]
    slopes = torch.autograd.grad(network(leaves[0], lengths)[0].sin().sum(), wrt, create_graph=True)
    product = sum((slope * v).sum() for slope, v in zip(slopes, directions, strict=True))
    expected = torch.autograd.grad(product, wrt)

    def score(inputs: Tensor, *weights: Tensor) -> Tensor:
        return program(dict(zip(parameters, weights, strict=True)), inputs, lengths)[0].sin().sum()

    gradient = grad(score, argnums=tuple(range(len(wrt))))
    point = (x, *parameters.values())
    for ours, theirs in zip(gradient(*point), slopes, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), **TOLERANCE)
    reverse, forward = vjp(gradient, *point)[1](tuple(directions)), jvp(gradient, point, tuple(directions))[1]
    for one, other, theirs in zip(reverse, forward, expected, strict=True):
        torch.testing.assert_close(one, theirs, **TOLERANCE)
        torch.testing.assert_close(other, theirs, **TOLERANCE)
    assert any("read tensor data" in note for note in program.notes)


class Aligned(nn.Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.loss = nn.CTCLoss(reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        targets, sizes = torch.tensor([[1, 2, 2], [3, 1, 0]]), torch.tensor([3, 2])
        return self.loss(x.log_softmax(2), targets, torch.tensor([6, 5]), sizes)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_alignments_equal_eager_with_their_first_derivatives(reduction):
    network, x = Aligned(reduction), torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)).double()
    program = read_torchscript(saved(torch.jit.trace(network, x, check_trace=False))).program
    leaf = x.clone().requires_grad_()
    expected = network(leaf)
    value, pull = vjp(lambda inputs: program({}, inputs)[0], x)
    torch.testing.assert_close(value, expected, **TOLERANCE)
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    torch.testing.assert_close(pull(torch.ones_like(value))[0], slope, **TOLERANCE)
