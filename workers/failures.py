"""How a run can end badly for reasons the child cannot tell, as the caller will read them."""

import errno

from eigengate.contract import AuditError
from eigengate.errors import EigengateError


def timeout(seconds: float) -> AuditError:
    return AuditError(
        code="timeout",
        title="The audit took too long",
        detail=f"The audit did not finish within its limit of {seconds:g} s and was stopped.",
        hint="Raise time_limit_s if the service allows it, lower max_samples, or ask for fewer quantities.",
    )


def out_of_memory(limit: int) -> AuditError:
    return AuditError(
        code="out_of_memory",
        title="The audit ran out of memory",
        detail=f"The audit needed more than the {limit / 2**20:.0f} MiB of memory it may use.",
        hint="Lower max_samples, ask for fewer quantities, or run a worker with more memory.",
    )


def output_too_large(what: str, limit: int) -> AuditError:
    return AuditError(
        code="output_too_large",
        title="The audit wrote too much",
        detail=f"The audit's {what} exceeded {limit / 2**20:.0f} MiB.",
        hint="Lower max_samples or ask for fewer quantities.",
    )


def model_crashed(signal_name: str) -> AuditError:
    return AuditError(
        code="model_crashed",
        title="The model crashed the process",
        detail=f"The process that ran the model was ended by {signal_name}.",
        hint="Run the model in its original runtime on the same data; it most likely crashes there too.",
    )


def sandbox_violation() -> AuditError:
    return AuditError(
        code="sandbox_violation",
        title="The model tried something it may not do",
        detail="The process that ran the model was stopped at a forbidden system call.",
    )


def worker_lost(detail: str) -> AuditError:
    return AuditError(
        code="worker_lost",
        title="The worker was lost",
        detail=detail,
        hint="Submit the audit again; if it happens every time, the machine may be short of memory.",
        retriable=True,
    )


def storage_unavailable(detail: str) -> AuditError:
    return AuditError(
        code="storage_unavailable",
        title="The stored files could not be fetched",
        detail=f"The worker could not fetch the model and the probe data: {detail}.",
        hint="Submit the audit again; if it happens every time, the worker's store or disk needs a look.",
        retriable=True,
    )


def machine_trouble(error: OSError) -> AuditError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        code, title = "storage_full", "The worker's disk is full"
    else:
        code, title = "worker_trouble", "The worker could not run the audit"
    return AuditError(
        code=code,
        title=title,
        detail=f"The audit could not be run: {error.strerror or type(error).__name__}.",
        hint="Submit the audit again later.",
        retriable=True,
    )


def told_by(error: EigengateError) -> AuditError:
    """One of our own errors, as it is."""
    return AuditError(
        code=error.code, title=error.title, detail=error.detail, hint=error.hint, retriable=error.retriable
    )


def internal(detail: str) -> AuditError:
    return AuditError(
        code="internal",
        title="Something went wrong inside Eigengate",
        detail=detail,
        hint="Please report this, with the audit's id.",
    )
