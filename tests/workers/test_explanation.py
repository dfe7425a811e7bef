"""What a caller reads of an exception in the child."""

import pytest
import torch

from eigengate.errors import MemoryExhaustedError, ModelExecutionError, ShapeMismatchError
from workers.sandbox.explanation import explain

REFUSED = "aten::zeros failed: DefaultCPUAllocator: can't allocate memory: you tried to allocate 21474836480 bytes"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(REFUSED), ModelExecutionError(REFUSED, hint="look")])
def test_a_refused_allocation_is_a_lack_of_memory_whoever_reports_it(error):
    failure = explain(error)
    assert failure.code == "out_of_memory"
    assert "Lower max_samples" in failure.hint


def test_a_lack_of_memory_on_a_gpu_is_told_apart_whoever_reports_it():
    words = "CUDA out of memory. Tried to allocate 2.00 GiB."
    for error in (torch.OutOfMemoryError(words), MemoryExhaustedError(f"out of memory in aten::mm: {words}")):
        assert explain(error).code == "gpu_out_of_memory"


def test_our_own_errors_are_told_as_they_are():
    failure = explain(ShapeMismatchError("5 columns, not 4", hint="look"))
    assert (failure.code, failure.detail, failure.hint) == (ShapeMismatchError.code, "5 columns, not 4", "look")


def test_anything_else_is_our_fault():
    assert explain(ZeroDivisionError("x")).code == "internal"
