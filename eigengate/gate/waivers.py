"""Waivers: a named person accepts a finding until a day; the number stays visible."""

from collections.abc import Sequence
from datetime import date

from eigengate.contract import ConditionResult, Waiver

EXPIRES_SOON_DAYS = 14
_WAIVABLE = frozenset({"fail", "indeterminate", "missing"})


def waived(result: ConditionResult, waivers: Sequence[Waiver], today: date) -> ConditionResult:
    """``result`` with status ``waived`` if it is adverse and a waiver that has not expired speaks of it.

    A waiver counts through the day on which it expires.
    """
    if result.status not in _WAIVABLE:
        return result
    for waiver in waivers:
        if waiver.condition == result.id and today <= waiver.expires:
            accepted = f"waived until {waiver.expires} by {waiver.owner} ({waiver.reason})"
            return result.model_copy(
                update={"status": "waived", "message": f"{accepted}; found: {result.status}, {result.message}"}
            )
    return result


def waiver_warnings(results: Sequence[ConditionResult], waivers: Sequence[Waiver], today: date) -> list[str]:
    """What an owner of a waiver should know: expired, expiring soon, or not needed."""
    status = {result.id: result.status for result in results}
    warnings = []
    for waiver in waivers:
        name = f"waiver of {waiver.condition!r} by {waiver.owner}"
        days = (waiver.expires - today).days
        if waiver.condition not in status:
            warnings.append(f"{name} is unused: the policy has no such condition")
        elif days < 0:
            warnings.append(f"{name} expired on {waiver.expires}; the condition counts again")
        elif status[waiver.condition] != "waived":
            warnings.append(f"{name} is unused: the condition is {status[waiver.condition]}")
        elif days <= EXPIRES_SOON_DAYS:
            warnings.append(f"{name} expires in {days} days, on {waiver.expires}")
    return warnings
