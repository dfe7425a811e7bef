"""Operators that work in place run as functions: every alias sees what it should, or the network is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.exported import read_exported
from eigengate.loading.program import Program
from tests.support.exported_networks import FIXED, FORMS, Form, exported

Function = Callable[[Tensor], Tensor]


class Wrapped(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * 1.0)


def into_a_slice_of_a_slice(x: Tensor) -> Tensor:
    x[1:, 2:][:, :2].mul_(3.0)
    return x


def into_an_element(x: Tensor) -> Tensor:
    x[0][1] = x[1][2]
    return x


def into_a_transposed_view(x: Tensor) -> Tensor:
    x.t().permute(1, 0).unsqueeze(0)[0, :, 1].add_(10.0)
    return x


def into_the_base_of_a_view(x: Tensor) -> Tensor:
    view = x.view(2, 8)[1]
    x.add_(1.0)
    return view * x.sum()


def into_one_of_two_views(x: Tensor) -> Tensor:
    first, second = x[:, :3], x[:, 1:]
    first.add_(1.0)
    second.mul_(2.0)
    return first.sum(1, keepdim=True) + second


def into_a_diagonal(x: Tensor) -> Tensor:
    x.diagonal().add_(torch.ones(4))
    return x


def into_a_copy(x: Tensor) -> Tensor:
    y = x.clone()
    y.fill_(2.0)
    return x * y


def into_a_reshaped_tensor_that_is_all_that_is_left(x: Tensor) -> Tensor:
    return x.reshape(2, 8).flatten().sigmoid_()


def through_indices_and_masks(x: Tensor) -> Tensor:
    x[torch.tensor([0, 2])] = x[torch.tensor([1, 3])] + 1.0
    x.masked_fill_(x > 1.0, 0.5)
    x.clamp_(min=-0.5)
    return x.scatter_(1, torch.tensor([[0], [1], [2], [3]]), 7.0)


def with_another_type(x: Tensor) -> Tensor:
    count = (x > 0).to(torch.int8)
    for _ in range(2):
        count.add_(torch.full((4,), 100))  # beyond what the small type holds
    x.mul_(count)
    return x


def into_a_tensor_that_was_turned(x: Tensor) -> Tensor:
    row, y = x[0], x[:, 1:3]
    y.t_().mul_(torch.ones(4).cumsum(0))
    y.unsqueeze_(0).transpose_(0, 1).swapaxes_(1, 2).add_(1.0)
    return x + y.squeeze_().sum() + row


def into_a_view_of_what_is_turned_later(x: Tensor) -> Tensor:
    row = x[0]
    x.t_()
    row.mul_(3.0)
    x[1].add_(x[0])
    return x


FUNCTIONS = [value for name, value in list(globals().items()) if name.startswith(("into_", "through_", "with_"))]


def program_of(module: nn.Module, form: Form = FIXED, x: Tensor | None = None) -> Program:
    return read_exported(exported(module.eval(), (torch.ones(4, 4) if x is None else x,), form)).program


@pytest.mark.parametrize("form", [Form(dynamic=False), Form(strict=True, dynamic=False)], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_written_values_reach_every_alias(function: Function, form: Form) -> None:
    x = torch.linspace(-2, 2, 16, dtype=torch.float64).view(4, 4).requires_grad_()
    program = program_of(Wrapped(function), form).to(dtype=torch.float64)
    (ours,) = program({}, x)
    theirs = function(x * 1.0)
    torch.testing.assert_close(ours, theirs)
    weights = torch.linspace(0.5, 1.5, theirs.numel(), dtype=torch.float64).view_as(theirs)
    expected = torch.autograd.grad((weights * theirs).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad((weights * ours).sum(), x)[0], expected)
    torch.testing.assert_close(torch.func.vmap(lambda z: program({}, z)[0])(torch.stack([x, x]))[1], theirs)


def test_written_parts_reach_the_whole() -> None:
    """Autograd itself refuses to write into one of several views, so the reference is written by hand."""

    def parts(x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        left.add_(right)
        for row in x.unbind(0):
            row.mul_(2.0)
        first, _ = x.split([1, 3], dim=1)
        first.sub_(1.0)
        return x * right.sum()

    def by_hand(x: Tensor) -> Tensor:
        left, right = x[:, :2], x[:, 2:]
        doubled = 2.0 * torch.cat([left + right, right], 1)
        return torch.cat([doubled[:, :1] - 1.0, doubled[:, 1:]], 1) * doubled[:, 2:].sum()

    x = torch.linspace(-2, 2, 16, dtype=torch.float64).view(4, 4)
    program = program_of(Wrapped(parts)).to(dtype=torch.float64)
    torch.testing.assert_close(program({}, x)[0], by_hand(x))
    slope = torch.func.jacrev(lambda z: program({}, z)[0])(x)
    torch.testing.assert_close(slope, torch.func.jacrev(by_hand)(x))


def test_the_callers_tensor_stays_as_it_was() -> None:
    class IntoItsInput(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu_() + 1.0

    program = program_of(IntoItsInput())
    x = torch.linspace(-2, 2, 16).view(4, 4)
    (y,) = program({}, x)
    assert torch.equal(y, x.clamp(min=0) + 1.0)
    assert float(x.min()) == -2.0


@pytest.mark.parametrize(
    "function",
    [
        # Whether a reshape shows the memory of its argument depends on strides, which the graph does not fix.
        lambda x: x.reshape(2, 8).add_(1.0).sum() + x,
        lambda x: x.t().flatten() * x.add_(1.0).sum(),
    ],
    ids=["base read after a reshaped view has changed", "reshaped view read after its base has changed"],
)
def test_an_alias_that_cannot_be_known_is_refused(function: Function) -> None:
    with pytest.raises(UnsupportedOperatorError, match="may share memory"):
        program_of(Wrapped(function))


class Counting(nn.Module):
    """Counts its calls; ``answers`` with the count or without."""

    def __init__(self, answers: bool) -> None:
        super().__init__()
        self.layer, self.answers = nn.Linear(4, 4), answers
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1.0
        return self.layer(x) * self.calls if self.answers else self.layer(x)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning")
class TestState:
    def test_a_network_that_answers_by_its_history_starts_from_the_file_each_time(self, form: Form) -> None:
        module = Counting(answers=True)
        program = program_of(module, form, torch.ones(3, 4))
        for _ in range(2):
            torch.testing.assert_close(
                program(program.parameters, torch.ones(3, 4))[0], module.layer(torch.ones(3, 4)) * 1.0
            )
        runtime = read_exported(exported(Counting(answers=True), (torch.ones(3, 4),), form)).runtime
        assert torch.equal(runtime(torch.ones(3, 4))[0], runtime(torch.ones(3, 4))[0])
        (note,) = (note for note in program.notes if note.startswith("stateful_model"))
        assert "running the network changes calls." in note
        assert float(program.buffers["calls"]) == 0.0

    def test_a_count_that_no_output_depends_on_is_left_alone_and_said(self, form: Form) -> None:
        module = Counting(answers=False)
        program = program_of(module, form, torch.ones(3, 4))
        for _ in range(2):
            torch.testing.assert_close(program(program.parameters, torch.ones(3, 4))[0], module(torch.ones(3, 4)))
        assert "updates calls while it runs" in program.notes[-1]
        assert float(program.buffers["calls"]) == 0.0
