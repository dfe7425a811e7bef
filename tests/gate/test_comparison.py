import pytest

from eigengate.gate import Comparison, compare_reports
from tests.support.reports import make_model, make_report, with_measurement, without_measurement

A = make_report()


def change(a, b, name):
    return next(c for c in compare_reports(a, b).changes if c.name == name)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ntk.trace", 50000.0, "less stable"),
        ("ntk.trace", 40000.0, "stabler"),
        ("attribution.robustness", 0.9, "stabler"),
        ("attribution.robustness", 0.5, "less stable"),
        ("input_jacobian.spectral_entropy", 2.0, "changed"),
        ("ntk.trace", 46500.0, "same"),
        # Half-widths of 1 % of 3.6 on both sides combine to 0.051.
        ("hessian.lambda_max", 3.64, "same"),
        ("hessian.lambda_max", 3.7, "less stable"),
    ],
)
def test_a_change_is_assessed_by_direction_and_noise(name, value, expected):
    found = change(A, with_measurement(A, name, value), name)
    assert found.assessment == expected
    assert found.change == pytest.approx(value - A.value(name))


def test_what_cannot_be_compared_keeps_both_values_and_says_why():
    found = change(A, make_report(model=make_model(digest="e" * 64)), "hessian.trace")
    assert (found.a, found.b, found.change, found.assessment) == (11.0, 11.0, None, "not comparable")
    assert "different parameters" in found.refused


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (A, without_measurement(A, "ntk.trace"), "the second report does not have it"),
        (without_measurement(A, "ntk.trace"), A, "the first report does not have it"),
        (A, with_measurement(A, "ntk.trace", None, outcome="non_finite"), "non finite in the second report"),
    ],
)
def test_a_metric_of_one_report_only_is_listed(a, b, reason):
    assert change(a, b, "ntk.trace").refused == reason


def test_every_metric_of_either_report_appears_once_and_survives_a_round_trip():
    comparison = compare_reports(without_measurement(A, "ntk.trace"), A)
    names = [c.name for c in comparison.changes]
    assert len(names) == len(set(names)) == len(A.measurements)
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison
    assert comparison.same_probe


def test_a_change_from_zero_has_no_relative_size():
    found = change(with_measurement(A, "ntk.trace", 0.0), with_measurement(A, "ntk.trace", 1.0), "ntk.trace")
    assert (found.change, found.relative) == (1.0, None)
