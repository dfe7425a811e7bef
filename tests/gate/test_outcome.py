import json
import subprocess
import sys
from itertools import permutations

import pytest

from eigengate.contract import Policy, StabilityReport, Verdict
from eigengate.errors import PolicyError
from eigengate.gate import PRESETS, judge, load_policy, worst_first
from tests.support.policies import TODAY, policy, statuses, threshold
from tests.support.reports import make_report

REPORT = make_report()
# lambda_max is 3.6 within [3.564, 3.636].
FAIL, STRADDLE = threshold(id="f", limit=1.0), threshold(id="s", limit=3.6)
WARN, PASS = threshold(id="w", limit=1.0, level="warn"), threshold(id="p", limit=9.0)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([PASS], "pass"),
        ([PASS, WARN], "warn"),
        ([PASS, WARN, STRADDLE], "indeterminate"),
        ([PASS, WARN, STRADDLE, FAIL], "fail"),
        ([PASS, threshold(id="i", limit=1.0, level="info")], "pass"),
    ],
)
def test_the_worst_effect_wins_in_any_order(conditions, expected):
    for order in permutations(conditions):
        assert judge(REPORT, policy(*order), today=TODAY).outcome == expected


def test_inspect_mode_does_not_change_the_outcome():
    verdict = judge(REPORT, policy(FAIL, mode="inspect"), today=TODAY)
    assert (verdict.outcome, verdict.mode) == ("fail", "inspect")


def test_conditions_are_shown_worst_first():
    verdict = judge(REPORT, policy(PASS, threshold(id="o", level="off"), WARN, STRADDLE, FAIL), today=TODAY)
    assert [result.id for result in worst_first(verdict.conditions)] == ["f", "s", "w", "p", "o"]


def test_judging_is_a_function_of_its_arguments():
    first, second = (judge(make_report(), policy(FAIL, PASS), make_report(), today=TODAY) for _ in range(2))
    assert first == second
    assert first.baseline_sha256 == first.report_sha256


def test_hashes_follow_content_and_not_spelling():
    base = judge(REPORT, policy(PASS), today=TODAY)
    again = judge(StabilityReport.model_validate_json(REPORT.model_dump_json(indent=4)), policy(PASS), today=TODAY)
    other = judge(make_report(seed=1), policy(FAIL), today=TODAY)
    assert (again.report_sha256, again.policy_sha256) == (base.report_sha256, base.policy_sha256)
    assert other.report_sha256 != base.report_sha256
    assert other.policy_sha256 != base.policy_sha256


def test_a_policy_that_still_extends_is_refused():
    with pytest.raises(PolicyError, match="still extends 'builtin:strict'"):
        judge(REPORT, Policy(extends="builtin:strict"), today=TODAY)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_judges_and_survives_a_round_trip(name):
    rules = load_policy(f"builtin:{name}")
    verdict = judge(REPORT, rules, REPORT, today=TODAY)
    assert Policy.model_validate_json(rules.model_dump_json(by_alias=True)) == rules
    assert load_policy(json.loads(rules.model_dump_json(by_alias=True))) == rules
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert "missing" not in statuses(verdict)


def test_an_ordinary_small_classifier_passes_recommended():
    assert judge(REPORT, load_policy("builtin:recommended"), today=TODAY).outcome == "pass"
    assert judge(make_report(n=48), load_policy("builtin:strict"), make_report(n=48)).outcome == "pass"


def test_gate_and_page_need_neither_torch_nor_numpy():
    code = (
        "import sys, eigengate.gate, eigengate.page, eigengate.cli.gate, eigengate.cli.compare, eigengate.cli.policy\n"
        "assert not {'torch', 'onnx', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
