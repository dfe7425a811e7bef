"""What the process answers to whoever called it; CI scripts depend on these numbers."""

from enum import IntEnum

from eigengate.contract import Verdict


class ExitCode(IntEnum):
    """Zero is only ever said of something that was measured and judged."""

    PASS = 0
    FAILED = 1
    USAGE = 2
    INPUT = 3
    INFRASTRUCTURE = 4
    INDETERMINATE = 5
    INTERRUPTED = 130


def of_verdict(verdict: Verdict) -> ExitCode:
    """A warning passes; a policy in inspect mode shows and never stops."""
    if verdict.mode == "inspect":
        return ExitCode.PASS
    codes = {"fail": ExitCode.FAILED, "indeterminate": ExitCode.INDETERMINATE}
    return codes.get(verdict.outcome, ExitCode.PASS)
