"""The verdict as SARIF 2.1.0 for code-scanning pages; findings point at the policy, for a model file has no lines."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from eigengate.contract import ConditionResult, Verdict

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"fail": "error", "warn": "warning"}
_RULE_LEVELS = {"error": "error", "warn": "warning"}
_KINDS = {"pass": "pass", "indeterminate": "open", "skipped": "notApplicable", "off": "notApplicable"}


def to_sarif(verdict: Verdict, *, policy_path: str = "policy.toml", lines: Mapping[str, int] | None = None) -> str:
    """One rule and one result per condition.

    Args:
        verdict: What to show.
        policy_path: The policy file, relative to the repository's root.
        lines: On which line of it each condition stands, by id (``condition_lines``).
    """
    places = lines or {}
    run = {
        "tool": {"driver": {"name": "Eigengate", "rules": [_rule(result) for result in verdict.conditions]}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": warning}} for warning in verdict.warnings
                ],
            }
        ],
        "results": [_result(result, policy_path, places.get(result.id, 1)) for result in verdict.conditions],
        "properties": {
            "outcome": verdict.outcome,
            "mode": verdict.mode,
            "summary": verdict.summary,
            "judged_on": verdict.judged_on.isoformat(),
            "report_sha256": verdict.report_sha256,
            "policy_sha256": verdict.policy_sha256,
            "baseline_sha256": verdict.baseline_sha256,
        },
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(result: ConditionResult) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": result.id,
        "shortDescription": {"text": f"{result.metric} {result.expected}"},
        "defaultConfiguration": {"level": _RULE_LEVELS.get(result.level, "note")},
    }
    if result.advice:
        rule["help"] = {"text": result.advice}
    return rule


def _result(result: ConditionResult, policy_path: str, line: int) -> dict[str, Any]:
    kind = _KINDS.get(result.status, "fail")
    found: dict[str, Any] = {
        "ruleId": result.id,
        # SARIF allows a level other than none on failures alone.
        "kind": kind,
        "level": _LEVELS.get(result.effect or "", "note") if kind == "fail" else "none",
        "message": {"text": f"{result.metric}: expected {result.expected}; {result.message}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": policy_path}, "region": {"startLine": line}}}],
        "partialFingerprints": {
            "eigengateCondition/v1": hashlib.sha256(f"{result.id}\n{result.metric}".encode()).hexdigest()
        },
        "properties": {
            name: getattr(result, name)
            for name in (
                "status",
                "effect",
                "actual",
                "low",
                "high",
                "bound",
                "threshold",
                "baseline",
                "change",
                "noise",
            )
        },
    }
    if result.status == "waived":
        found["suppressions"] = [{"kind": "external", "justification": result.message}]
    return found
