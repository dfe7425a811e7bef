"""Short ways to write a policy in a test."""

from datetime import date
from typing import Any

from eigengate.contract import Condition, Policy, Verdict
from eigengate.gate import load_policy

TODAY = date(2026, 11, 23)


def threshold(op: str = "<=", limit: float = 10.0, **fields: Any) -> dict[str, Any]:
    """A condition on ``hessian.lambda_max`` unless ``fields`` say otherwise."""
    return {"id": "c", "metric": "hessian.lambda_max", "op": op, "threshold": limit, **fields}


def regression(rule: dict[str, float], **fields: Any) -> dict[str, Any]:
    """A condition against the baseline."""
    return {"id": "c", "metric": "hessian.lambda_max", "baseline": rule, **fields}


def policy(*conditions: dict[str, Any], **fields: Any) -> Policy:
    """A loaded policy of these conditions."""
    return load_policy({"condition": list(conditions), **fields})


def condition(**fields: Any) -> Condition:
    """A validated condition."""
    return policy(threshold(**fields)).condition[0]


def statuses(verdict: Verdict) -> list[str]:
    return [result.status for result in verdict.conditions]


def effects(verdict: Verdict) -> list[str | None]:
    return [result.effect for result in verdict.conditions]
