"""The verdict: every condition looked at, every waiver considered, the worst effect wins."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from eigengate.contract import Condition, ConditionResult, Policy, StabilityReport, Verdict, VerdictOutcome
from eigengate.contract.base import Contract
from eigengate.errors import PolicyError
from eigengate.gate.comparability import why_not_comparable
from eigengate.gate.finding import finding
from eigengate.gate.reading import Missing, Reading, TooLittle, read
from eigengate.gate.regression import against_baseline
from eigengate.gate.threshold import against_threshold
from eigengate.gate.waivers import waived, waiver_warnings

WORST_FIRST: tuple[VerdictOutcome, ...] = ("fail", "indeterminate", "warn", "pass")
# What a finding means for the outcome, by level; at level info and off it means nothing.
_EFFECTS: dict[str, dict[str, VerdictOutcome]] = {
    "error": {"pass": "pass", "fail": "fail", "indeterminate": "indeterminate", "missing": "fail"},
    "warn": {"pass": "pass", "fail": "warn", "indeterminate": "warn", "missing": "warn"},
}


def judge(
    report: StabilityReport,
    policy: Policy,
    baseline: StabilityReport | None = None,
    *,
    today: date | None = None,
) -> Verdict:
    """What ``policy`` says of ``report``: a pure function of its arguments.

    The outcome is the worst effect of any condition: fail, then indeterminate, then warn, then pass. Where nothing was
    demanded (no condition, or all of them informational, off, waived or skipped) it is indeterminate, never pass.

    Args:
        report: The measurements.
        policy: As ``load_policy`` returns it: ``extends`` resolved.
        baseline: The report that regression conditions compare with.
        today: The day waivers are held against. Left out, it is the current day in UTC, the only thing the gate ever
            reads that is not an argument; ``Verdict.judged_on`` keeps it, so that a verdict can be made again.

    Raises:
        PolicyError: ``policy.extends`` was not resolved, so its conditions would be silently ignored.
    """
    if policy.extends is not None:
        raise PolicyError(
            f"the policy still extends {policy.extends!r}, so some of its conditions are not there",
            hint="load it with eigengate.load_policy, which resolves extends",
        )
    today = today or datetime.now(UTC).date()
    results = [
        _with_effect(waived(_find(condition, report, policy, baseline), policy.waiver, today), condition, policy)
        for condition in policy.condition
    ]
    outcome = _outcome(results, report)
    return Verdict(
        outcome=outcome,
        mode=policy.mode,
        conditions=tuple(results),
        summary=_summary(outcome, results, report),
        warnings=tuple(waiver_warnings(results, policy.waiver, today)),
        report_sha256=_digest(report),
        policy_sha256=_digest(policy),
        baseline_sha256=_digest(baseline) if baseline else None,
        judged_on=today,
    )


def _find(
    condition: Condition, report: StabilityReport, policy: Policy, baseline: StabilityReport | None
) -> ConditionResult:
    if condition.level == "off":
        return finding(condition, "off", "switched off by the policy")
    reading = read(report, condition)
    if isinstance(reading, Missing):
        return _absent(condition, reading.reason, condition.on_missing)
    if isinstance(reading, TooLittle):
        return finding(condition, "indeterminate", reading.reason, reading.reading)
    if condition.baseline is None:
        return against_threshold(condition, reading)
    if baseline is None:
        return _absent(condition, "there is no baseline to compare with", policy.baseline.if_none, reading)
    return _compared(condition, reading, report, baseline)


def _compared(
    condition: Condition, reading: Reading, report: StabilityReport, baseline: StabilityReport
) -> ConditionResult:
    if reason := why_not_comparable(condition.metric, report, baseline):
        return finding(condition, "indeterminate", f"comparison refused: {reason}", reading)
    before = read(baseline, condition)
    if not isinstance(before, Reading):
        return finding(condition, "indeterminate", f"in the baseline, {before.reason}", reading)
    return against_baseline(condition, reading, before)


def _absent(condition: Condition, reason: str, answer: str, reading: Reading | None = None) -> ConditionResult:
    return finding(condition, "skipped" if answer == "skip" else "missing", reason, reading)


def _with_effect(result: ConditionResult, condition: Condition, policy: Policy) -> ConditionResult:
    effect = _EFFECTS.get(result.level, {}).get(result.status)
    if result.status == "missing" and effect is not None:
        no_baseline = condition.baseline is not None and result.actual is not None
        answer = policy.baseline.if_none if no_baseline else condition.on_missing
        effect = "warn" if answer == "warn" else effect
    return result.model_copy(update={"effect": effect})


def _outcome(results: Sequence[ConditionResult], report: StabilityReport) -> VerdictOutcome:
    effects = {result.effect for result in results}
    if not report.certificate.passed:
        effects.add("indeterminate")
    return next((outcome for outcome in WORST_FIRST if outcome in effects), "indeterminate")


def _summary(outcome: VerdictOutcome, results: Sequence[ConditionResult], report: StabilityReport) -> str:
    counted = [result for result in results if result.effect is not None]
    if outcome == "indeterminate" and not report.certificate.passed:
        return "The certificate failed: the numbers do not belong to this model, so nothing can be judged."
    if not counted:
        return "Nothing was demanded: no condition of the policy counts, so nothing can be said."
    if outcome == "pass":
        return f"All {_conditions(len(counted))} hold." if len(counted) > 1 else "The only condition holds."
    worst = [result for result in counted if result.effect == outcome]
    verb = {"fail": "failed", "indeterminate": "could not be decided", "warn": "gave a warning"}[outcome]
    return f"{len(worst)} of {_conditions(len(counted))} {verb}; first: {worst[0].id} ({worst[0].message})."


def _conditions(count: int) -> str:
    return f"{count} condition" if count == 1 else f"{count} conditions"


def _digest(document: Contract) -> str:
    """SHA-256 of the canonical JSON: sorted keys, no spaces, so that formatting of files does not count."""
    values: Any = document.model_dump(mode="json", by_alias=True)
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
