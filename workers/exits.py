"""How a child process ended, and what that means."""

import signal
from dataclasses import dataclass
from typing import Literal, final

from eigengate.contract import AuditError
from workers import failures
from workers.sandbox.limits import Limits

Breach = Literal["timeout", "out_of_memory", "events_too_large", "told_to_stop"]

_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}


@final
@dataclass(frozen=True, kw_only=True)
class Exit:
    """The end of one child: its exit status, why we killed it if we did, what it gave as reason, its last words.

    ``status`` is negative for a signal, as in :mod:`subprocess`. ``oom_killed``: the kernel's OOM killer was at work
    meanwhile.
    """

    status: int
    breach: Breach | None
    failure: AuditError | None
    log: str
    oom_killed: bool
    peak_bytes: int


def failure_of(end: Exit, limits: Limits, *, max_event_bytes: int) -> AuditError | None:
    """Why the audit failed, or None if the child claims success."""
    if end.breach is not None:
        return _breach_failure(end.breach, limits, max_event_bytes)
    if end.failure is not None:
        return end.failure
    if end.status < 0:
        return _signal_failure(end, limits)
    if end.status > 0:
        return failures.internal(f"The process that ran the audit gave up with status {end.status} and no reason.")
    return None


def _breach_failure(breach: Breach, limits: Limits, max_event_bytes: int) -> AuditError | None:
    match breach:
        case "timeout":
            return failures.timeout(limits.wall_s)
        case "out_of_memory":
            return failures.out_of_memory(limits.memory_bytes)
        case "events_too_large":
            return failures.output_too_large("stream of events", max_event_bytes)
        case "told_to_stop":
            return None


def _signal_failure(end: Exit, limits: Limits) -> AuditError:
    number = -end.status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number in _CRASHES:
        return failures.model_crashed(name)
    if number == signal.SIGXCPU:
        return failures.timeout(limits.wall_s)
    if number == signal.SIGXFSZ:
        return failures.output_too_large("files", limits.file_bytes)
    if number == signal.SIGSYS:
        return failures.sandbox_violation()
    if number == signal.SIGKILL and end.oom_killed:
        return failures.out_of_memory(limits.memory_bytes)
    return failures.worker_lost(f"The process that ran the audit was ended from outside by {name}.")
