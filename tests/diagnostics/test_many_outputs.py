"""More outputs than a backward pass each is planned for: the same measurements from products, with intervals."""

from functools import cache

import pytest
import torch
from torch import nn

from eigengate.contract import AuditConfig, Measurement
from eigengate.diagnostics import Context
from eigengate.diagnostics.gauss_newton import GaussNewton
from eigengate.diagnostics.input_jacobian import InputJacobian
from eigengate.diagnostics.ntk import NeuralTangentKernel
from eigengate.diagnostics.parameter_jacobian import ParameterJacobian
from eigengate.operators import Subject
from tests.support.subjects import classes, mlp, normal, subject_of

OUTPUTS = 80
DIAGNOSTICS = (InputJacobian(), ParameterJacobian(), NeuralTangentKernel())
# So little that the plan projects whatever has more outputs than it thinks projections take.
HURRIED = AuditConfig(time_budget_s=1e-9)
UNKNOWN = {
    f"{operator}.{summary}"
    for operator in ("input_jacobian", "parameter_jacobian")
    for summary in ("amplitude_entropy", "condition_number")
} | {"ntk.condition_number"}


@pytest.fixture(autouse=True)
def few_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of 80 outputs are quick to check against; a plan would pull each of those back."""
    monkeypatch.setattr("eigengate.planning.planner.MATRIX_FREE_PASSES", 48)


@cache
def subject() -> Subject:
    return subject_of(mlp(40, 50, OUTPUTS), normal(6, 40), classes(6, OUTPUTS))


def measured(config: AuditConfig, of: Subject | None = None) -> dict[str, Measurement]:
    context = Context(of or subject(), config)
    found = [measurement for diagnostic in DIAGNOSTICS for measurement in diagnostic.measure(context).measurements]
    return {measurement.name: measurement for measurement in found}


def test_everything_is_reported_estimated_or_with_its_reason():
    found = measured(HURRIED)
    assert found.keys() == measured(AuditConfig()).keys()
    for name, measurement in found.items():
        if name in UNKNOWN:
            assert measurement.outcome == "out_of_budget"
            assert measurement.detail
            continue
        interval = measurement.error.numerical
        assert measurement.value is not None, name
        assert not measurement.exact
        assert interval is not None
        assert interval.low <= measurement.value <= interval.high
        assert interval.low < interval.high
        assert "Golub-Kahan" in measurement.method or "projections" in measurement.method


def test_intervals_cover_what_a_pass_for_every_output_gives():
    exact, names = measured(AuditConfig()), [name for name in measured(HURRIED) if name not in UNKNOWN]
    missed = dict.fromkeys(names, 0)
    for seed in range(4):
        found = measured(HURRIED.model_copy(update={"seed": seed}))
        for name in names:
            interval = found[name].error.numerical
            missed[name] += not interval.low <= exact[name].value <= interval.high
    # Three of four have probability 0.0005 at 95 %, and few of these thirty are independent.
    assert max(missed.values()) < 3, missed


def test_a_linear_map_is_found_exactly_where_its_spectrum_is_flat():
    linear = nn.Linear(60, 50, bias=False).double()
    nn.init.orthogonal_(linear.weight)
    found = measured(HURRIED, subject_of(linear, normal(5, 60)))
    for name, expected in {
        "input_jacobian.operator_norm": 1.0,
        "input_jacobian.frobenius_norm": 50**0.5,
        "input_jacobian.effective_rank": 50.0,
        "parameter_jacobian.effective_rank": 50.0,
    }.items():
        assert found[name].value == pytest.approx(expected, rel=1e-9), name


def test_same_seed_same_digits():
    first, again, other = (
        {found.name: found for found in InputJacobian().measure(Context(subject(), config)).measurements}
        for config in (HURRIED, HURRIED, HURRIED.model_copy(update={"seed": 1}))
    )
    assert first == again
    assert first["input_jacobian.frobenius_norm"].value != other["input_jacobian.frobenius_norm"].value


def test_a_dead_network_is_not_applicable():
    linear = nn.Linear(4, OUTPUTS, bias=False).double()
    nn.init.zeros_(linear.weight)
    found = measured(HURRIED, subject_of(linear, torch.zeros(3, 4, dtype=torch.float64)))
    assert {measurement.outcome for measurement in found.values()} == {"not_applicable", "out_of_budget"}


def test_gauss_newton_goes_through_products_too():
    found = GaussNewton().measure(Context(subject(), HURRIED)).measurements
    by_name = {measurement.name: measurement for measurement in found}
    assert by_name["gauss_newton.lambda_max"].value is not None
    assert not by_name["gauss_newton.trace"].exact
