"""Telling an allocation that was refused from everything else that may go wrong."""

from typing import Final

from eigengate.errors import MemoryExhaustedError

# torch and onnxruntime have a type for it on GPUs alone, and cuBLAS and the driver not even there: only these words.
_WORDS: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate",
    "status_alloc_failed",
)
# All that oneDNN says; of a configuration that it does not know it says more, "a primitive descriptor for …".
_WHOLE_MESSAGE: Final = "could not create a primitive"


def is_refused_allocation(error: BaseException) -> bool:
    """Whether memory ran out, whoever says so: Python, torch's allocators, a library below them, or we."""
    if isinstance(error, MemoryError | MemoryExhaustedError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return words == _WHOLE_MESSAGE or any(phrase in words for phrase in _WORDS)


def let_refused_allocations_through(error: BaseException) -> None:
    """Raise the error again if memory ran out.

    Where an error is taken to mean that an operator lacks a derivative, a batching rule or a batch size, one that means
    nothing of the kind would silently choose another route: ``torch.OutOfMemoryError`` is a ``RuntimeError`` too.
    """
    if is_refused_allocation(error):
        raise error
