import json
from xml.etree import ElementTree as ET

import pytest

from eigengate.gate import judge, to_junit, to_markdown, to_sarif
from tests.support.policies import TODAY, policy, threshold
from tests.support.reports import make_report

REPORT = make_report()
HOSTILE = "x|y <img src=x onerror=1> ]]> @everyone \x00\x1b[31m & `code`\nnew"


@pytest.fixture
def verdict():
    waiver = {"condition": "waived", "reason": HOSTILE, "owner": "ada", "expires": TODAY}
    return judge(
        REPORT,
        policy(
            threshold(id="passes", limit=9.0),
            threshold(id="fails", limit=1.0, advice=HOSTILE),
            threshold(id="warns", limit=1.0, level="warn"),
            threshold(id="informs", limit=1.0, level="info"),
            threshold(id="straddles", limit=3.6),
            threshold(id="missing", metric="ntk.frobenius_norm"),
            threshold(id="waived", limit=1.0),
            threshold(id="off", level="off"),
            waiver=[waiver],
        ),
        today=TODAY,
    )


def test_junit_parses_back_with_every_condition_in_its_place(verdict):
    root = ET.fromstring(to_junit(verdict))
    suite = root.find("testsuite")
    kinds = {
        case.get("name"): next((child.tag for child in case if child.tag != "system-out"), "passed")
        for case in suite.findall("testcase")
    }
    assert kinds == {
        "passes": "passed",
        "fails": "failure",
        "warns": "passed",
        "informs": "passed",
        "straddles": "error",
        "missing": "failure",
        "waived": "skipped",
        "off": "skipped",
    }
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 8, "failures": 2, "errors": 1, "skipped": 2}
    assert {name: int(root.get(name)) for name in counts} == counts


def test_junit_keeps_hostile_text_as_text(verdict):
    root = ET.fromstring(to_junit(verdict))
    assert not list(root.iter("img"))
    assert "onerror" in root.find(".//failure").text


def test_sarif_has_one_rule_and_one_result_per_condition(verdict):
    document = json.loads(to_sarif(verdict, policy_path="ci/gate.toml", lines={"fails": 12}))
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert document["version"] == "2.1.0"
    assert rules == [result["ruleId"] for result in run["results"]] == [c.id for c in verdict.conditions]
    levels = {result["ruleId"]: (result["kind"], result["level"]) for result in run["results"]}
    assert levels == {
        "passes": ("pass", "none"),
        "fails": ("fail", "error"),
        "warns": ("fail", "warning"),
        "informs": ("fail", "note"),
        "straddles": ("open", "none"),
        "missing": ("fail", "error"),
        "waived": ("fail", "note"),
        "off": ("notApplicable", "none"),
    }
    fails = run["results"][1]["locations"][0]["physicalLocation"]
    assert (fails["artifactLocation"]["uri"], fails["region"]["startLine"]) == ("ci/gate.toml", 12)
    assert [r["ruleId"] for r in run["results"] if "suppressions" in r] == ["waived"]


def test_sarif_fingerprints_stay_when_numbers_change(verdict):
    def fingerprints(judged):
        results = json.loads(to_sarif(judged))["runs"][0]["results"]
        return {r["ruleId"]: r["partialFingerprints"]["eigengateCondition/v1"] for r in results}

    again = judge(make_report(seed=3), policy(threshold(id="fails", limit=2.0)), today=TODAY)
    assert fingerprints(again)["fails"] == fingerprints(verdict)["fails"]
    assert len(set(fingerprints(verdict).values())) == len(verdict.conditions)


def test_markdown_is_a_table_that_hostile_text_cannot_leave(verdict):
    text = to_markdown(verdict, REPORT)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`hessian" in line]
    unescaped = [row.replace("\\|", "").count("|") for row in rows if row.count("|") > 6]
    assert set(unescaped) == {8}
    assert "<img" not in text
    assert "@everyone" not in text
    assert "## ❌ Eigengate: fail" in text


def test_markdown_puts_the_worst_first_and_says_what_was_judged(verdict):
    text = to_markdown(verdict, REPORT)
    assert text.index("fails") < text.index("straddles") < text.index("warns") < text.index("passes")
    assert REPORT.model.sha256[:12] in text
    assert verdict.policy_sha256[:12] in text


def test_inspect_mode_is_said_in_markdown():
    verdict = judge(REPORT, policy(threshold(), mode="inspect"), today=TODAY)
    assert "inspect mode" in to_markdown(verdict, REPORT)
