"""The ``Prefer`` header (RFC 7240): how long a client is ready to wait."""

import re

MAX_WAIT = 60
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(;.*)?', re.IGNORECASE)


def preferred_wait(prefer: str | None) -> int | None:
    """Seconds the client wants its answer held, at most ``MAX_WAIT``; null if it said nothing of it."""
    for preference in (prefer or "").split(","):
        if match := _WAIT.fullmatch(preference):
            return min(int(match[1]), MAX_WAIT)
    return None
