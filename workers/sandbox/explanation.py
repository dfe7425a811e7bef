"""An exception of the child, as the typed failure its caller will read."""

from eigengate.errors import EigengateError
from eigengate.refused_allocation import is_refused_allocation
from workers.protocol import MAX_TEXT, Failure, clip


def explain(error: BaseException) -> Failure:
    """The failure line for ``error``: its own code if it is one of ours, and an honest guess if it is not."""
    if is_refused_allocation(error):
        return _out_of_memory(error)
    if isinstance(error, EigengateError):
        return Failure(
            code=error.code,
            title=clip(error.title, 200),
            detail=clip(error.detail),
            hint=clip(error.hint) if error.hint else None,
            retriable=error.retriable,
        )
    return Failure(
        code="internal",
        title="Something went wrong inside Eigengate",
        detail=clip(f"{type(error).__name__}: {error}", 1000),
        hint="Please report this, with the audit's id.",
    )


def _out_of_memory(error: BaseException) -> Failure:
    on_gpu = type(error).__name__ == "OutOfMemoryError" or "cuda" in str(error).lower()
    return Failure(
        code="gpu_out_of_memory" if on_gpu else "out_of_memory",
        title="The audit ran out of GPU memory" if on_gpu else "The audit ran out of memory",
        detail=clip(f"An allocation was refused: {str(error) or type(error).__name__}", MAX_TEXT),
        hint="Lower max_samples, ask for fewer quantities, or run a worker with more memory.",
    )
