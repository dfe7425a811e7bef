"""Batch sizes that a trace has fixed: opened where it can be shown to be right, else named and kept."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from eigengate.errors import ModelExecutionError
from eigengate.loading.certificate import certify
from eigengate.loading.model import load_model
from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import torchscript


class Reshaped(nn.Module):
    """The batch in reshapes, in a factory and as an index."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.head = nn.Linear(12, 24), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        n = int(x.shape[0])
        h = self.wide(x.reshape(n, 12)).view(n, 3, 8).transpose(1, 2).reshape(n, 24)
        h = h + torch.zeros(n, 24)
        return self.head(h[torch.arange(n), :])


class Recurrent(nn.Module):
    """The batch in a learned token that is expanded, and as the second size of a first state."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.linspace(-1, 1, 8).reshape(1, 1, 8))
        self.layer, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        n = int(x.shape[0])
        x = torch.cat([self.token.expand(n, -1, -1), x], 1)
        states, _ = self.layer(x, torch.zeros(1, n, 8, dtype=x.dtype))
        return self.head(states[:, -1])


class Flattened(nn.Module):
    """Batch and time in one dimension, and as many heads as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, t = int(x.shape[0]), int(x.shape[1])
        rows = torch.tanh(self.heads(x.reshape(n * t, 8)))
        mixed = torch.softmax(rows.view(n * t, 4, 2), 1).reshape(n, t, 8)
        return self.head(mixed.sum(1))


CASES = {"reshaped": (Reshaped, (3, 4)), "recurrent": (Recurrent, (5, 8)), "flattened": (Flattened, (5, 8))}


def built(name: str, batch: int) -> tuple[nn.Module, Tensor]:
    kind, shape = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval(), torch.randn(batch, *shape)


@pytest.mark.parametrize("name", CASES)
def test_a_fixed_batch_size_is_opened_for_us_and_filled_up_for_the_executor(name):
    network, example = built(name, 4)
    lowered = read_torchscript(torchscript(network, example))
    program = lowered.program
    assert program.inputs[0].shape[0] is None
    assert any("fixed the batch size at 4. It was opened" in note for note in program.notes)
    x = torch.cat([example, 2 * example, example.sin()])[:7]
    # The batch is another than eager's, for the executor: sums run in another order, in float32.
    for batch in (x, x[:1], x[:4]):
        torch.testing.assert_close(program(program.parameters, batch)[0], network(batch), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(lowered.runtime(batch)[0], network(batch), rtol=1e-5, atol=1e-6)
    double = program.to(dtype=torch.float64)
    network.double()

    def slope(function):
        return grad(lambda inputs: function(inputs).sin().sum())

    point = x.double()
    expected = jvp(slope(network), (point,), (point.cos(),))[1]
    ours = slope(lambda inputs: double(double.parameters, inputs)[0])
    torch.testing.assert_close(jvp(ours, (point,), (point.cos(),))[1], expected, rtol=1e-9, atol=1e-11)
    alone = vmap(slope(lambda sample: double(double.parameters, sample[None])[0]))(point)
    torch.testing.assert_close(alone, slope(network)(point), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_values_inside_are_witnessed_for_the_samples_there_are(name):
    network, example = built(name, 4)
    lowered = read_torchscript(torchscript(network, example))
    watched = dict(lowered.program.watch(lowered.program.parameters, example[:2]))
    witnessed = lowered.runtime.values(list(watched), example[:2])
    same = [label for label, value in witnessed.items() if value.shape == watched[label].shape]
    assert len(same) >= 3
    for label in same:
        torch.testing.assert_close(witnessed[label], watched[label], rtol=1e-5, atol=1e-6)


def test_an_opened_network_is_certified():
    network, example = built("reshaped", 4)
    model = load_model(torchscript(network, example))
    certificate = certify(model, (torch.cat([example, example.cos()])[:6],), 0, torch.Generator().manual_seed(0))
    assert certificate.passed


class OneRowEach(nn.Module):
    """A constant with one row for every sample of the example: what the fifth would get nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.arange(1.0, x.shape[0] + 1).unsqueeze(1).expand(int(x.shape[0]), 3) + torch.tensor(
            [[1.0]] * int(x.shape[0])
        )


class Folded(nn.Module):
    """A reshape that would run with another batch and mix its samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, int(x.shape[0]), -1).transpose(0, 1).reshape(int(x.shape[0]), -1).cumsum(0)


@pytest.mark.parametrize("network", [OneRowEach(), Folded()], ids=["one_row_each", "folded"])
def test_a_batch_size_that_cannot_be_opened_safely_stays_fixed_and_is_named(network):
    program = read_torchscript(torchscript(network, torch.rand(4, 3 if isinstance(network, OneRowEach) else 6))).program
    assert program.inputs[0].shape[0] == 4
    assert "The trace fixed the batch size at 4." in program.notes
    with pytest.raises(ModelExecutionError, match="failed"):
        program({}, torch.rand(5, program.inputs[0].shape[1]))


def test_a_single_sample_stays_alone():
    network, example = built("reshaped", 1)
    program = read_torchscript(torchscript(network, example)).program
    assert program.inputs[0].shape == (1, 3, 4)
    assert "The trace fixed the batch size at 1." in program.notes
    with pytest.raises(ModelExecutionError, match="aten::reshape"):
        program(program.parameters, torch.rand(2, 3, 4))
