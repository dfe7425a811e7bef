"""An exception of the child, as the typed failure its caller will read."""

from eigengate.errors import EigengateError
from workers.protocol import MAX_TEXT, Failure, clip

# torch and onnxruntime have no type for a refused allocation on the CPU, only these words.
_ALLOCATION_WORDS = ("can't allocate memory", "not enough memory", "bad_alloc", "bad allocation", "failed to allocate")


def explain(error: BaseException) -> Failure:
    """The failure line for ``error``: its own code if it is one of ours, and an honest guess if it is not."""
    if isinstance(error, EigengateError) and not _is_refused_allocation(error):
        return Failure(
            code=error.code,
            title=clip(error.title, 200),
            detail=clip(error.detail),
            hint=clip(error.hint) if error.hint else None,
            retriable=error.retriable,
        )
    if type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory("gpu_out_of_memory", "The audit ran out of GPU memory", error)
    if _is_refused_allocation(error):
        return _out_of_memory("out_of_memory", "The audit ran out of memory", error)
    return Failure(
        code="internal",
        title="Something went wrong inside Eigengate",
        detail=clip(f"{type(error).__name__}: {error}", 1000),
        hint="Please report this, with the audit's id.",
    )


def _is_refused_allocation(error: BaseException) -> bool:
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in words for phrase in _ALLOCATION_WORDS)


def _out_of_memory(code: str, title: str, error: BaseException) -> Failure:
    return Failure(
        code=code,
        title=title,
        detail=clip(f"An allocation was refused: {str(error) or type(error).__name__}", MAX_TEXT),
        hint="Lower max_samples, ask for fewer quantities, or run a worker with more memory.",
    )
