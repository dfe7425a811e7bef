from datetime import date, timedelta

import pytest

from eigengate.gate import judge
from tests.support.policies import TODAY, policy, statuses, threshold
from tests.support.reports import make_report

REPORT = make_report()


def waiver(days: int = 100, condition: str = "c", **fields):
    return {
        "condition": condition,
        "reason": "accepted, ticket 12",
        "owner": "ada",
        "expires": TODAY + timedelta(days=days),
        **fields,
    }


def verdict(*waivers, today=TODAY, **fields):
    demand = threshold(**{"limit": 1.0, **fields})
    other = threshold(id="other", limit=100.0)
    return judge(REPORT, policy(demand, other, waiver=list(waivers)), today=today)


def test_a_waived_condition_counts_no_more_and_keeps_its_number():
    judged = verdict(waiver())
    (result, _) = judged.conditions
    assert (judged.outcome, result.status, result.effect, result.actual) == ("pass", "waived", None, 3.6)
    assert "by ada (accepted, ticket 12)" in result.message
    assert "found: fail" in result.message


@pytest.mark.parametrize("fields", [{"limit": 3.6}, {"metric": "ntk.frobenius_norm"}], ids=["indeterminate", "missing"])
def test_every_adverse_finding_can_be_waived(fields):
    assert statuses(verdict(waiver(), **fields))[0] == "waived"


@pytest.mark.parametrize(("days", "expected"), [(1, "pass"), (0, "pass"), (-1, "fail")])
def test_a_waiver_counts_through_its_last_day(days, expected):
    assert verdict(waiver(days)).outcome == expected


def test_an_expired_waiver_is_said():
    assert "expired on 2026-11-22; the condition counts again" in verdict(waiver(-1)).warnings[0]


@pytest.mark.parametrize(("days", "warned"), [(0, True), (14, True), (15, False)])
def test_a_waiver_that_expires_soon_is_said(days, warned):
    assert any("expires in" in warning for warning in verdict(waiver(days)).warnings) == warned


def test_a_waiver_of_a_condition_that_passes_is_unused():
    judged = verdict(waiver(), limit=100.0)
    assert judged.outcome == "pass"
    assert "unused: the condition is pass" in judged.warnings[0]


def test_a_waiver_of_no_condition_is_unused():
    assert "no such condition" in verdict(waiver(condition="gone")).warnings[0]


def test_a_second_waiver_takes_over_from_an_expired_one():
    assert verdict(waiver(-1), waiver(30)).outcome == "pass"


def test_waiving_everything_demands_nothing():
    judged = judge(REPORT, policy(threshold(limit=1.0), waiver=[waiver()]), today=TODAY)
    assert judged.outcome == "indeterminate"


def test_the_day_is_an_input_and_is_kept():
    assert verdict(waiver(0), today=TODAY).judged_on == TODAY
    assert verdict(waiver(0), today=date(2030, 1, 1)).outcome == "fail"
