"""PyTorch's own module samples, traced and scripted, against the eager modules."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from tests.conformance.torchscript_modules.case import ModuleCase, module_cases
from tests.conformance.torchscript_modules.comparison import check
from tests.conformance.torchscript_modules.exceptions import MARKS, NAMED
from tests.conformance.torchscript_modules.form import FORMS, archive
from tests.conformance.torchscript_modules.outcome import Outcome, derivative_outcomes, outcomes

pytestmark = pytest.mark.slow

EVERY_NINTH = 9  # of the samples beyond tensors in, a tensor out; the command runs all of them, in two minutes


@pytest.mark.parametrize("form", FORMS)
def test_no_case_fails_or_is_refused_that_is_not_named(form):
    assert unnamed(outcomes(form, "plain")) == {}


@pytest.mark.parametrize("form", FORMS)
def test_as_many_cases_pass_as_are_recorded_and_99_of_100(form):
    results = outcomes(form, "plain")
    passed = sum(outcome.status == "passed" for outcome in results)
    assert passed >= MARKS[form, "plain"]
    assert passed >= 0.99 * len(results)


@pytest.mark.parametrize("form", FORMS)
def test_keywords_and_tuples_pass_too(form):
    results = outcomes(form, "extra", EVERY_NINTH)
    assert len(results) > 20
    assert unnamed(results) == {}


def test_the_first_samples_of_every_module_have_every_derivative_up_to_the_second():
    results = derivative_outcomes(2)
    assert unnamed(results) == {}
    assert sum(outcome.status == "passed" for outcome in results) > 200
    assert sum(outcome.status == "excepted" for outcome in results) < 10


def unnamed(results: tuple[Outcome, ...]) -> dict[str, str]:
    return {outcome.name: outcome.reason for outcome in results if outcome.status in ("failed", "refused")}


def test_every_exception_is_needed():
    excepted = [outcome.name for form in FORMS for outcome in outcomes(form, "plain") if outcome.status == "excepted"]
    assert [pattern for pattern in NAMED if not any(re.search(pattern, name) for name in excepted)] == []


def linear() -> tuple[ModuleCase, Program]:
    case = next(case for case in module_cases() if case.info.name == "nn.Linear" and case.kind == "plain")
    data = archive(case, "traced")
    assert data is not None
    return case, read_torchscript(data).program


class Tampered:
    """A program whose output is changed on its way out; all that the comparison asks of a program."""

    def __init__(self, program: Program, change: Callable[[Tensor], Tensor]) -> None:
        self.program = program
        self.change = change
        self.parameters = program.parameters

    def __call__(self, params, *inputs):
        return tuple(self.change(output) for output in self.program(params, *inputs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y * 1.01, "output"),
        (lambda y: y[:1], "output"),
        (lambda y: y.detach(), "derivative by inputs"),
        (lambda y: y + 0.01 * (y - y.detach()), "derivative by inputs"),
    ],
    ids=["value", "shape", "cut", "slope"],
)
def test_the_comparison_finds_wrong_outputs_and_wrong_derivatives(change, message):
    case, program = linear()
    check(case, program)
    with pytest.raises(AssertionError, match=message):
        check(case, Tampered(program, change))


def test_the_comparison_finds_a_parameter_that_does_nothing():
    case, program = linear()

    class Deaf(Tampered):
        def __call__(self, params, *inputs):
            return self.program({**params, "weight": params["weight"].detach()}, *inputs)

    with pytest.raises(AssertionError, match="derivative by weight"):
        check(case, Deaf(program, torch.clone))


def test_the_command_prints_what_passes():
    command = [sys.executable, "-m", "tests.conformance.torchscript_modules", "--only", "nn.LSTMCell"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"traced +2/2 +beyond", done.stdout)
    assert re.search(r"scripted +2/2 +beyond", done.stdout)
    assert "What is missing, and why: 0 cases" in done.stdout
