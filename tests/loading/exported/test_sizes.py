"""Sizes of inputs: a program is run for those that it was exported for, and for no others."""

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from eigengate.errors import ModelExecutionError, ShapeMismatchError
from eigengate.loading.exported import read_exported
from eigengate.loading.exported.document import InputTensor
from eigengate.loading.exported.notation import parse
from eigengate.loading.exported.sizes import Sizes
from eigengate.loading.program import Lowered
from tests.support.exported_networks import saved


class Joined(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y


def lowered(sizes: object, *inputs: Tensor) -> Lowered:
    return read_exported(saved(torch.export.export(Joined(), inputs, dynamic_shapes=sizes)))


def test_fixed_sizes_are_fixed() -> None:
    program = lowered(None, torch.ones(3, 4), torch.ones(4, 5)).program
    assert [spec.shape for spec in program.inputs] == [(3, 4), (4, 5)]
    program({}, torch.ones(3, 4), torch.ones(4, 5))
    for shapes in [((2, 4), (4, 5)), ((3, 4), (4, 6)), ((3, 5), (5, 5)), ((3, 4, 1), (4, 5))]:
        with pytest.raises(ShapeMismatchError, match="was exported for") as caught:
            program({}, *(torch.ones(shape) for shape in shapes))
        assert "dynamic_shapes" in str(caught.value.hint)
    with pytest.raises(ModelExecutionError, match=r"takes 2 input\(s\) \(x, y\), not 1"):
        program({}, torch.ones(3, 4))


def test_sizes_of_one_name_must_be_equal_and_keep_to_their_range() -> None:
    rows, inner = Dim("rows", max=64), Dim("inner", min=3, max=8)
    both = lowered({"x": {0: rows, 1: inner}, "y": {0: inner}}, torch.ones(3, 4), torch.ones(4, 5))
    program = both.program
    assert [spec.shape for spec in program.inputs] == [(None, None), (None, 5)]
    assert both.dimension_names["x"][1] == both.dimension_names["y"][0] != both.dimension_names["x"][0]
    for n, k in [(1, 3), (2, 8), (64, 5)]:
        assert program({}, torch.ones(n, k), torch.ones(k, 5))[0].shape == (n, 5)
    with pytest.raises(ShapeMismatchError, match="size 4, as elsewhere, where it has 6"):
        program({}, torch.ones(3, 4), torch.ones(6, 5))
    for k in (2, 9):
        with pytest.raises(ShapeMismatchError, match="a size from 3 to 8"):
            program({}, torch.ones(3, k), torch.ones(k, 5))


def test_sizes_that_depend_on_others_are_checked() -> None:
    half = Dim("half", max=100)
    program = lowered(
        {"x": {1: 2 * half + 1}, "y": {0: 2 * half + 1, 1: half}}, torch.ones(3, 9), torch.ones(9, 4)
    ).program
    assert program({}, torch.ones(3, 7), torch.ones(7, 3))[0].shape == (3, 3)
    for k, n in [(8, 4), (9, 3), (7, 4)]:
        with pytest.raises(ShapeMismatchError):
            program({}, torch.ones(3, k), torch.ones(k, n))


def test_what_cannot_be_solved_is_left_to_the_operators() -> None:
    square = InputTensor("x", torch.float32, (parse("s0**2"),))
    Sizes((square,), {}).require((torch.ones(5),))


def test_a_condition_on_sizes_inside_the_network_is_checked() -> None:
    class Checking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.nonzero()
            torch._check(y.shape[0] == x.shape[0])
            return x[:, 0] + y[:, 1]

    program = read_exported(saved(torch.export.export(Checking(), (torch.eye(3),)))).program
    assert torch.equal(program({}, torch.eye(3))[0], torch.tensor([1.0, 1.0, 2.0]))
    with pytest.raises(ShapeMismatchError, match="does not take inputs of these sizes"):
        program({}, torch.ones(3, 3))
