import pytest

from eigengate.gate import judge
from tests.support.policies import TODAY, policy, statuses, threshold
from tests.support.reports import make_certificate, make_report, with_measurement, without_measurement

REPORT = make_report()
METRIC = "hessian.lambda_max"
ABSENT = {
    "left out": without_measurement(REPORT, METRIC),
    "null": with_measurement(REPORT, METRIC, None, outcome="not_applicable", detail="no labels"),
    "not converged": with_measurement(REPORT, METRIC, 0.1, outcome="not_converged"),
    "non-finite": with_measurement(REPORT, METRIC, None, outcome="non_finite"),
    "out of budget": with_measurement(REPORT, METRIC, None, outcome="out_of_budget"),
}


@pytest.mark.parametrize("report", ABSENT.values(), ids=ABSENT.keys())
@pytest.mark.parametrize(
    ("on_missing", "level", "status", "expected"),
    [
        ("fail", "error", "missing", "fail"),
        ("warn", "error", "missing", "warn"),
        ("skip", "error", "skipped", "indeterminate"),
        ("fail", "warn", "missing", "warn"),
        ("warn", "warn", "missing", "warn"),
        ("fail", "info", "missing", "indeterminate"),
    ],
)
def test_what_was_not_measured_never_passes(report, on_missing, level, status, expected):
    verdict = judge(report, policy(threshold(limit=1e9, on_missing=on_missing, level=level)), today=TODAY)
    assert (statuses(verdict), verdict.outcome) == ([status], expected)


def test_the_message_says_why_it_is_missing():
    verdict = judge(ABSENT["null"], policy(threshold()), today=TODAY)
    assert verdict.conditions[0].message == "hessian.lambda_max is not applicable: no labels"


def test_a_statistic_of_a_single_number_is_missing():
    verdict = judge(REPORT, policy(threshold(reduce="p95")), today=TODAY)
    assert statuses(verdict) == ["missing"]
    assert "has no p95" in verdict.conditions[0].message


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [threshold(level="off")],
        [threshold(level="info")],
        [threshold(metric="ntk.frobenius_norm", on_missing="skip")],
        [threshold(level="off"), threshold(id="d", level="info")],
    ],
)
def test_where_nothing_is_demanded_nothing_passes(conditions):
    verdict = judge(REPORT, policy(*conditions), today=TODAY)
    assert verdict.outcome == "indeterminate"
    assert verdict.summary.startswith("Nothing was demanded")


def test_a_failed_certificate_makes_every_pass_worthless():
    report = make_report(certificate=make_certificate(passed=False))
    verdict = judge(report, policy(threshold(limit=1e9)), today=TODAY)
    assert verdict.outcome == "indeterminate"
    assert verdict.summary.startswith("The certificate failed")


def test_a_failed_condition_stays_failed_under_a_failed_certificate():
    report = make_report(certificate=make_certificate(passed=False))
    assert judge(report, policy(threshold(limit=0.0)), today=TODAY).outcome == "fail"
