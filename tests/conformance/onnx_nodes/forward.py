"""Outputs as the standard wants them."""

from typing import Any

import torch
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram
from tests.conformance.onnx_nodes.case import NodeCase

# Many cases declare 1e-7, less than one rounding of a float32 sum of numbers around one: what is equal to zero in exact
# arithmetic would have to be so in ours.
_SMALLEST_ATOL = 1e-5


def check_forward(case: NodeCase, program: OnnxProgram) -> None:
    """Types, shapes and values of all outputs, at the relative tolerance that the case itself declares.

    Raises:
        AssertionError: they differ.
        Exception: whatever the program raises.
    """
    results = program(program.parameters, *case.inputs)
    for result, wanted in zip(results, case.outputs, strict=True):
        _compare(result, wanted, case)


def _compare(result: Any, wanted: Any, case: NodeCase) -> None:
    if isinstance(wanted, Tensor):
        assert isinstance(result, Tensor), f"{type(result).__name__} where a tensor belongs"
        _compare_tensors(result, wanted, case)
    elif isinstance(wanted, list):
        assert isinstance(result, list), f"{type(result).__name__} where a sequence belongs"
        for one, other in zip(result, wanted, strict=True):
            _compare(one, other, case)
    else:
        assert result is wanted


def _compare_tensors(result: Tensor, wanted: Tensor, case: NodeCase) -> None:
    assert result.dtype == wanted.dtype, f"{result.dtype} where {wanted.dtype} belongs"
    if not result.is_complex():
        result, wanted = result.double(), wanted.double()
    torch.testing.assert_close(result, wanted, rtol=case.rtol, atol=max(case.atol, _SMALLEST_ATOL), equal_nan=True)
