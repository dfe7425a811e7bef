"""Networks with a memory: every evaluation starts from the file, ours and the executor's, and the report is told."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.program import Lowered
from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved, torchscript


def scripted(network: nn.Module) -> Lowered:
    return read_torchscript(saved(torch.jit.script(network)))


class Counter(nn.Module):
    """Buffers changed in place, one through another name."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean.mul_(0.9).add_(x.mean(0) * 0.1)
        alias = self.mean
        alias[0] = 2.0
        return self.mean * x + self.calls


class Assigned(nn.Module):
    """An attribute that is assigned, then changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.state = torch.zeros(3)
        self.steps = [0]

    def forward(self, x: Tensor) -> Tensor:
        self.state = x * 2
        self.state.add_(1.0)
        self.state[:, 0] = 5.0
        self.steps.append(1)
        return self.state * 3 + len(self.steps)


@pytest.mark.parametrize(("network", "changed"), [(Counter(), "calls, mean"), (Assigned(), "state")])
def test_a_network_with_a_memory_is_evaluated_from_the_file_each_time_and_named(network, changed):
    lowered, x = scripted(network), torch.rand(2, 3)
    expected = network(x.clone())
    for _ in range(3):
        torch.testing.assert_close(lowered.program({}, x)[0], expected, rtol=0, atol=0)
        torch.testing.assert_close(lowered.runtime(x)[0], expected, rtol=0, atol=0)
    (note,) = (note for note in lowered.program.notes if note.startswith("stateful_model"))
    assert f"changes {changed}." in note


def test_watched_values_of_a_network_with_a_memory_are_those_of_its_first_call():
    lowered, x = scripted(Counter()), torch.rand(2, 3)
    watched = dict(lowered.program.watch({}, x))
    lowered.runtime(x)
    for label, value in lowered.runtime.values(list(watched), x).items():
        torch.testing.assert_close(value, watched[label], rtol=0, atol=0)


class Aliased(nn.Module):
    """The attribute and a local name are one tensor, and the local name changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        self.state = y
        y.add_(1.0)
        return self.state * 3


def test_a_change_of_an_attribute_under_another_name_is_refused():
    with pytest.raises(UnsupportedOperatorError, match="shares memory with one read later"):
        scripted(Aliased())


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x))


def test_batch_normalisation_traced_in_training_is_named_with_the_statistics_it_changes():
    network, x = Normalised().train(), torch.rand(4, 3)
    lowered = read_torchscript(torchscript(network, x))
    notes = "\n".join(lowered.program.notes)
    assert "changes norm.num_batches_tracked, norm.running_mean, norm.running_var." in notes
    assert "statistics of the batch" in notes
    for _ in range(2):
        torch.testing.assert_close(lowered.program(lowered.program.parameters, x)[0], lowered.runtime(x)[0])


def test_batch_normalisation_scripted_in_training_is_put_into_evaluation():
    network, x = Normalised(), torch.rand(4, 3)
    lowered = scripted(network.train())
    torch.testing.assert_close(lowered.program(lowered.program.parameters, x)[0], network.eval()(x))
    (note,) = lowered.program.notes
    assert "saved in training mode" in note


class WritesInput(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2.0)


def test_the_executor_leaves_what_it_is_given_as_it_was():
    lowered, x = scripted(WritesInput()), torch.ones(2)
    assert torch.equal(lowered.runtime(x)[0], torch.full([2], 2.0))
    assert torch.equal(lowered.program({}, x)[0], torch.full([2], 2.0))
    assert torch.equal(x, torch.ones(2))
    assert lowered.program.notes == ()
