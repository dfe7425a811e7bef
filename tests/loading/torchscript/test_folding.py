"""What lifting finds out before a network runs: answers that no input changes, structure, and what nobody reads."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import ModelExecutionError, UnsupportedOperatorError
from eigengate.loading.torchscript import TorchScriptProgram, read_torchscript
from eigengate.loading.torchscript.lift import lift
from tests.support.torch_networks import NETWORKS, saved


def scripted(network: nn.Module) -> TorchScriptProgram:
    program = read_torchscript(saved(torch.jit.script(network.eval()))).program
    assert isinstance(program, TorchScriptProgram)
    return program


def operators(network: nn.Module) -> set[str]:
    return {node.operator for node in lift(torch.jit.script(network.eval())).walk()}


def test_the_inference_path_of_the_transformer_is_gone_with_every_question_that_guards_it():
    network, _ = NETWORKS["encoder"]()
    left = operators(network)
    assert "aten::scaled_dot_product_attention" in left
    assert left.isdisjoint({"aten::_transformer_encoder_layer_fwd", "aten::append", "prim::requires_grad"})


class AsksAboutLists(nn.Module):
    """Lists that only this code sees, and one that a branch changes."""

    def forward(self, x: Tensor) -> Tensor:
        if any(y.requires_grad for y in [x, x * 2]):
            x = x + 1
        flags: list[bool] = [False]
        if x.shape[0] > 1:
            flags.append(True)
        if any(flags):
            x = x * 10
        sizes: list[int] = []
        for _ in range(3):
            sizes.append(2)  # noqa: PERF401 - growing is what it is about
        return x * len(sizes)


@pytest.mark.parametrize("n", [1, 2])
def test_lists_are_asked_when_the_network_runs_if_branches_or_loops_change_them(n):
    network, x = AsksAboutLists(), torch.rand(n, 2, requires_grad=True)
    torch.testing.assert_close(scripted(network)({}, x)[0], network(x))


class ConstantLists(nn.Module):
    """A list of sizes that stays a constant although a list of tensors grows, and a nested one that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [2, 3]
        self.nested = [[1], [2]]

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for size in self.sizes:
            kept.append(x * size)  # noqa: PERF401
        self.nested[0].append(4)
        for row in self.nested:
            for value in row:
                kept.append(x + value)  # noqa: PERF401
        return torch.stack(kept).sum(0)


def test_constant_lists_and_changing_ones_are_told_apart_by_their_types():
    program, x = scripted(ConstantLists()), torch.rand(3)
    for _ in range(2):
        torch.testing.assert_close(program({}, x)[0], x * 2 + x * 3 + 3 * x + 7)


class TupleFromBranch(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        if x.dim() == 2:
            return x * 2, {"a": x, "b": x + 1}, None
        return x * 3, {"a": x + 2, "b": x}, None


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_outputs_made_in_a_branch_have_a_fixed_structure(shape):
    network, x = TupleFromBranch(), torch.rand(*shape)
    program = scripted(network)
    first, mapping, nothing = network(x)
    assert nothing is None
    assert len(program.outputs) == 3
    for ours, theirs in zip(program({}, x), (first, mapping["a"], mapping["b"]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


class SometimesTwo(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        if x.dim() == 2:
            return x, x * 2
        return None, x * 3


def test_an_output_that_is_not_there_is_an_error_and_no_other_output():
    program = scripted(SometimesTwo())
    assert len(program({}, torch.rand(2, 3))) == 2
    with pytest.raises(ModelExecutionError, match="Output 0 of the model is None"):
        program({}, torch.rand(3))


class DeadCode(nn.Module):
    """A random draw that nobody reads, and one in a branch that is never taken."""

    def __init__(self) -> None:
        super().__init__()
        self.noisy = False

    def forward(self, x: Tensor) -> Tensor:
        torch.rand_like(x)
        if self.noisy:
            x = x + torch.randn_like(x)
        return x * 2


def test_operators_that_may_not_run_do_not_matter_where_they_never_would():
    assert torch.equal(scripted(DeadCode())({}, torch.ones(2))[0], torch.full([2], 2.0))


class Alive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = x + torch.poisson(x)
        return x


def test_operators_that_may_not_run_are_refused_where_they_might():
    with pytest.raises(UnsupportedOperatorError, match="aten::poisson"):
        scripted(Alive())


class Guarded(nn.Module):
    """A check whose only effect is to raise, inside a branch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2:  # noqa: SIM102 - a branch in a branch is what it is about
            if x.dim() != 3:
                raise ValueError("two or three dimensions, please")
        return x * 2


def test_checks_that_raise_are_kept():
    program = scripted(Guarded())
    assert torch.equal(program({}, torch.ones(1, 2))[0], torch.full([1, 2], 2.0))
    with pytest.raises(Exception, match="two or three dimensions, please"):
        program({}, torch.ones(2))


class Unread(nn.Module):
    def forward(self, x: Tensor, unread: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize("form", [torch.jit.script, lambda net: torch.jit.trace(net, (torch.ones(2), torch.ones(3)))])
def test_an_input_that_nobody_reads_is_taken_all_the_same(form):
    program = read_torchscript(saved(form(Unread()))).program
    assert len(program.inputs) == 2
    assert torch.equal(program({}, torch.ones(2), torch.ones(3))[0], torch.full([2], 2.0))


class Words(nn.Module):
    """Modes chosen by text, enumerated by parts, and numbers worked out on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = " Scale:Shift "

    def forward(self, x: Tensor) -> Tensor:
        for part in self.mode.strip().lower().split(":"):
            if part.startswith("sc"):
                x = x * float(part.find("le") + len(part))
            elif part.replace("i", "").endswith("hft") and part.isalpha():
                x = x + float(ord(part[0]))
        return x


def test_strings_are_understood():
    network, x = Words(), torch.rand(3)
    torch.testing.assert_close(scripted(network)({}, x)[0], network(x), rtol=0, atol=0)


Kind = int | list[int] | list[Tensor] | Tensor | tuple[int, Tensor]


class AsksForTypes(nn.Module):
    """A value of one of several types, asked for at run time; a list of one type is no list of another."""

    def pick(self, value: Kind, x: Tensor) -> Tensor:
        if isinstance(value, int):
            return x * value
        if torch.jit.isinstance(value, list[int]):
            return x * sum(value)
        if torch.jit.isinstance(value, list[Tensor]):
            return x + value[0]
        if isinstance(value, Tensor):
            return x - value
        return x * 100

    def forward(self, x: Tensor) -> Tensor:
        total = self.pick(2, x) + 10 * self.pick([3, 4], x) + 1000 * self.pick([x], x)
        return total + 7 * self.pick(x * 2, x) + self.pick((1, x), x)


def test_types_are_told_apart_while_the_network_runs():
    network, x = AsksForTypes(), torch.rand(3)
    torch.testing.assert_close(scripted(network)({}, x)[0], network(x), rtol=0, atol=0)
