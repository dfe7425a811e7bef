"""The ONNX standard's own cases, through every kind of derivative."""

import re
from collections import Counter
from functools import cache

import pytest
import torch
from torch import Tensor

from eigengate.loading.onnx.registry import find_operator
from tests.conformance.onnx_nodes.derivatives import check_smooth
from tests.conformance.onnx_nodes.exceptions import DERIVATIVES, FEWEST_DIFFERENTIATED
from tests.conformance.onnx_nodes.outcome import Outcome, derivative_outcomes, forward_outcomes

pytestmark = pytest.mark.slow


@cache
def outcomes() -> tuple[Outcome, ...]:
    return derivative_outcomes()


def test_every_differentiable_case_has_every_derivative() -> None:
    assert {outcome.case.name: outcome.reason for outcome in outcomes() if outcome.status == "failed"} == {}


def test_as_many_cases_are_differentiated_as_are_recorded() -> None:
    assert Counter(outcome.status for outcome in outcomes())["twice"] >= FEWEST_DIFFERENTIATED


def test_fewer_than_thirty_cases_are_excepted() -> None:
    assert sum(outcome.status == "excepted" for outcome in outcomes()) < 30


@pytest.mark.parametrize("pattern", DERIVATIVES)
def test_every_exception_is_needed(pattern: str) -> None:
    assert any(re.search(pattern, outcome.case.name) for outcome in outcomes() if outcome.status == "excepted")


def test_the_check_finds_a_cut_gradient_and_a_wrong_second_derivative() -> None:
    """What the suite rests on can fail: for a detached factor, and for a backward pass of the wrong slope."""

    class Wrong(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x.sin()

        @staticmethod
        def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: object, slope: Tensor) -> Tensor:
            return slope * ctx.saved_tensors[0].cos().detach()

        @staticmethod
        def jvp(ctx: object, tangent: Tensor) -> Tensor:
            return tangent * ctx.saved_tensors[0].cos()

    point = (torch.tensor([0.3, 0.7], dtype=torch.float64),)
    check_smooth(lambda x: (x.sin() * x,), point)
    with pytest.raises(Exception, match=r"Jacobian mismatch"):
        check_smooth(lambda x: (x.sin() * x.detach() ** 2,), point)
    with pytest.raises((AssertionError, RuntimeError)):
        check_smooth(lambda x: (Wrong.apply(x),), point)


def test_operators_said_not_to_batch_do_not() -> None:
    """Otherwise the page of operators would hide what works."""
    idle = {
        (operator.name, operator.since)
        for outcome in forward_outcomes()
        if outcome.status == "passed" and len(nodes := outcome.case.program().graph.nodes) == 1
        for node in nodes  # bodies feed their operators what no operand decides
        if (operator := find_operator(node)) and not operator.batches and batches(outcome)
    }
    assert idle == set()


def batches(outcome: Outcome) -> bool:
    program = outcome.case.program().to(dtype=torch.float64)
    inputs = outcome.case.inputs
    places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.is_floating_point()]
    if not places:
        return False
    doubled = {i: torch.stack([inputs[i].double()] * 2) for i in places}

    def function(*values: Tensor) -> object:
        given = dict(zip(places, values, strict=True))
        return program(program.parameters, *(given.get(i, x) for i, x in enumerate(inputs)))

    try:
        torch.vmap(function)(*doubled.values())
    except Exception:
        return False
    return True
