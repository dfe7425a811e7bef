"""The order in which people want to see conditions."""

from collections.abc import Iterable

from eigengate.contract import ConditionResult

_EFFECTS = {"fail": 0, "indeterminate": 1, "warn": 2}
_STATUSES = {"waived": 3, "fail": 4, "missing": 4, "indeterminate": 4, "pass": 5, "skipped": 6, "off": 7}


def worst_first(results: Iterable[ConditionResult]) -> list[ConditionResult]:
    """What decides the outcome first, then what was waived or only noted, then what passed; else as in the policy."""
    return sorted(results, key=lambda result: _EFFECTS.get(result.effect or "", _STATUSES[result.status]))
