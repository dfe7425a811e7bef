"""What is allowed in a policy but probably not meant."""

from collections.abc import Iterator
from datetime import date

from eigengate.contract import Condition, Policy
from eigengate.contract.metrics import METRICS


def policy_advice(policy: Policy, today: date) -> list[str]:
    """Sentences for whoever wrote ``policy``; empty where nothing looks odd."""
    notes = [note for condition in policy.condition for note in _on_condition(condition)]
    if not any(condition.level in ("error", "warn") for condition in policy.condition):
        notes.append("no condition has level error or warn: nothing is demanded, every verdict will be indeterminate")
    if policy.baseline.ref is None and policy.baseline.if_none == "fail":
        comparing = [condition.id for condition in policy.condition if condition.baseline and condition.level != "off"]
        if comparing:
            notes.append(f"without --baseline these conditions fail: {', '.join(comparing)} (see [baseline] if_none)")
    ids = {condition.id for condition in policy.condition}
    for waiver in policy.waiver:
        if waiver.condition not in ids:
            notes.append(f"waiver of {waiver.condition!r}: the policy has no such condition")
        elif waiver.expires < today:
            notes.append(f"waiver of {waiver.condition!r}: expired on {waiver.expires}")
    return notes


def _on_condition(condition: Condition) -> Iterator[str]:
    metric = METRICS.get(condition.metric)
    if metric is None or condition.level == "off":
        return
    rule = condition.baseline
    if rule is None:
        limits_growth = condition.op in ("<=", "<")
    else:
        limits_growth = rule.max_relative_increase is not None or rule.max_absolute_increase is not None
    harmless = {"lower_is_stabler": not limits_growth, "higher_is_stabler": limits_growth, "neutral": False}
    if harmless[metric.direction]:
        direction = metric.direction.replace("_", " ")
        yield f"condition {condition.id!r} forbids the harmless direction: for {metric.name}, {direction}"
    if rule and _is_logarithm(condition.metric) and (rule.max_relative_increase or rule.max_relative_decrease):
        yield f"condition {condition.id!r}: {metric.name} is a logarithm: limit its absolute change"


def _is_logarithm(metric: str) -> bool:
    return metric.startswith("index.") and metric != "index.gmsi_raw"
