import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigengate.contract import StabilityReport
from eigengate.gate import judge
from tests.support.policies import TODAY, effects, policy, statuses, threshold
from tests.support.reports import make_report, with_measurement

REPORT = make_report()
# Judging hashes the report, so that properties are checked on a small one.
SMALL = make_report(n=2, with_attribution=False, spectra=())
ORDER = ["fail", "indeterminate", "pass"]


def measured(value: float, low: float, high: float, **fields) -> StabilityReport:
    return with_measurement(SMALL, "hessian.lambda_max", value, numerical=(low, high), **fields)


def outcome(report: StabilityReport, *conditions) -> str:
    return judge(report, policy(*conditions), today=TODAY).outcome


@pytest.mark.parametrize(
    ("op", "limit", "expected"),
    [
        ("<=", 5.0, "pass"),
        ("<=", 4.0, "pass"),
        ("<", 4.0, "indeterminate"),
        ("<=", 3.9, "indeterminate"),
        ("<=", 3.0, "indeterminate"),
        ("<", 3.0, "fail"),
        ("<=", 2.9, "fail"),
        (">=", 2.0, "pass"),
        (">=", 3.0, "pass"),
        (">", 3.0, "indeterminate"),
        (">=", 3.1, "indeterminate"),
        (">=", 4.0, "indeterminate"),
        (">", 4.0, "fail"),
        (">=", 4.1, "fail"),
    ],
)
def test_an_interval_passes_fails_or_straddles(op, limit, expected):
    assert outcome(measured(3.5, 3.0, 4.0), threshold(op, limit)) == expected


@pytest.mark.parametrize(
    ("use", "op", "limit", "expected"),
    [
        ("upper", "<=", 3.9, "fail"),
        ("upper", "<=", 4.0, "pass"),
        ("lower", "<=", 3.1, "pass"),
        ("lower", "<=", 2.9, "fail"),
        ("point", "<=", 3.5, "pass"),
        ("point", "<", 3.5, "fail"),
        ("upper", ">=", 3.9, "pass"),
        ("lower", ">=", 3.1, "fail"),
    ],
)
def test_a_forced_bound_is_the_one_compared(use, op, limit, expected):
    verdict = judge(measured(3.5, 3.0, 4.0), policy(threshold(op, limit, use=use)), today=TODAY)
    assert statuses(verdict) == [expected]
    assert verdict.conditions[0].bound == use


def test_the_pessimistic_bound_depends_on_the_operator():
    verdict = judge(measured(3.5, 3.0, 4.0), policy(threshold("<=", 9), threshold(">=", 1, id="d")), today=TODAY)
    assert [result.bound for result in verdict.conditions] == ["upper", "lower"]


def test_an_exact_value_never_straddles():
    exact = with_measurement(REPORT, "ntk.trace", 3.5)
    for limit, expected in ((3.5, "pass"), (3.49, "fail")):
        assert outcome(exact, threshold(limit=limit, metric="ntk.trace")) == expected


def test_sampling_error_counts_only_where_the_policy_says_so():
    report = measured(3.5, 3.4, 3.6, sampling=(2.5, 4.5))
    assert outcome(report, threshold(limit=4.0)) == "pass"
    assert outcome(report, threshold(limit=4.0, sampling=True)) == "indeterminate"


def test_numerical_and_sampling_widths_add():
    report = measured(3.5, 3.4, 3.6, sampling=(2.5, 4.5))
    (result,) = judge(report, policy(threshold(sampling=True)), today=TODAY).conditions
    assert (result.low, result.high) == (pytest.approx(2.4), pytest.approx(4.6))


def test_asking_for_a_sampling_interval_that_is_not_there_is_indeterminate():
    verdict = judge(measured(3.5, 3.4, 3.6), policy(threshold(sampling=True)), today=TODAY)
    assert statuses(verdict) == ["indeterminate"]
    assert "no sampling interval" in verdict.conditions[0].message


def test_too_few_samples_are_indeterminate_and_the_number_stays_visible():
    verdict = judge(REPORT, policy(threshold(min_samples=25)), today=TODAY)
    assert (verdict.outcome, verdict.conditions[0].actual) == ("indeterminate", 3.6)
    assert judge(REPORT, policy(threshold(min_samples=24)), today=TODAY).outcome == "pass"


@pytest.mark.parametrize("reduce", ["mean", "std", "min", "p05", "median", "p95", "max"])
def test_a_reduction_reads_the_summary(reduce):
    metric = "input_jacobian.operator_norm"
    (result,) = judge(REPORT, policy(threshold(metric=metric, reduce=reduce)), today=TODAY).conditions
    assert result.actual == REPORT.value(metric, reduce)
    assert result.expected == f"{reduce} <= 10"


def test_an_order_statistic_stands_without_the_interval_of_the_mean():
    report = with_measurement(REPORT, "input_jacobian.operator_norm", 4.0, numerical=(1.0, 9.0))
    (result,) = judge(
        report, policy(threshold(metric="input_jacobian.operator_norm", reduce="median", limit=5)), today=TODAY
    ).conditions
    assert (result.status, result.low, result.high) == ("pass", 4.0, 4.0)


@pytest.mark.parametrize(
    ("level", "limit", "effect", "expected"),
    [
        ("error", 1.0, "fail", "fail"),
        ("warn", 1.0, "warn", "warn"),
        ("info", 1.0, None, "indeterminate"),
        ("error", 3.6, "indeterminate", "indeterminate"),
        ("warn", 3.6, "warn", "warn"),
        ("info", 3.6, None, "indeterminate"),
        ("error", 9.0, "pass", "pass"),
        ("warn", 9.0, "pass", "pass"),
        ("info", 9.0, None, "indeterminate"),
    ],
)
def test_the_level_says_what_a_finding_means(level, limit, effect, expected):
    verdict = judge(measured(3.6, 3.5, 3.7), policy(threshold(limit=limit, level=level)), today=TODAY)
    assert (effects(verdict), verdict.outcome) == ([effect], expected)


def test_a_condition_that_is_off_is_shown_and_not_judged():
    verdict = judge(REPORT, policy(threshold(limit=0.0, level="off")), today=TODAY)
    assert (statuses(verdict), effects(verdict)) == (["off"], [None])


numbers = st.floats(-1e6, 1e6)


@settings(max_examples=150, deadline=None)
@given(value=numbers, below=st.floats(0, 1e3), above=st.floats(0, 1e3), limits=st.tuples(numbers, numbers))
@pytest.mark.parametrize("op", ["<=", "<", ">=", ">"])
def test_loosening_a_threshold_never_makes_the_verdict_worse(op, value, below, above, limits):
    tight, loose = sorted(limits, reverse=op in (">=", ">"))
    report = measured(value, value - below, value + above)
    ranks = [ORDER.index(outcome(report, threshold(op, limit))) for limit in (tight, loose)]
    assert ranks[0] <= ranks[1]


@settings(max_examples=100, deadline=None)
@given(value=numbers, widths=st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), limit=numbers)
@pytest.mark.parametrize("op", ["<=", ">="])
def test_a_wider_interval_never_turns_another_verdict_into_pass(op, value, widths, limit):
    narrow, wide = sorted(widths)
    if outcome(measured(value, value - wide, value + wide), threshold(op, limit)) == "pass":
        assert outcome(measured(value, value - narrow, value + narrow), threshold(op, limit)) == "pass"
