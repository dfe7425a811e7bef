"""The ONNX standard's own cases, forward as it wants them and through every kind of derivative."""

import math
import re
import sys
import warnings
from collections import Counter
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase
from torch import Tensor
from torch.func import jvp, vjp, vmap

from eigengate.errors import ModelLoadError, UnsupportedOperatorError
from eigengate.loading.onnx import OnnxProgram
from eigengate.loading.onnx.dtypes import read_tensor

EXCEPTIONS = {
    r"uint(16|32|64)|^test_bitwise_not_3d$": "torch computes on unsigned integers of eight bits only",
    r"^test_training_dropout(_default|_mask|_default_mask)?$": "random by design, refused when run",
    r"^test_attention.*(bf16|fp16)": "half precision rounds differently where the order of operations is free",
}
# A ratchet: how many of the standard's 1884 cases run here; more is welcome, fewer is a regression.
FEWEST_PASSING = 1200


@cache
def cases() -> tuple[TestCase, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard's own reference code overflows on purpose
        return tuple(case for case in collect_testcases(None) if case.model is not None)


def tensor(value: object) -> Tensor:
    if isinstance(value, onnx.TensorProto):
        return read_tensor(value)
    return read_tensor(numpy_helper.from_array(np.asarray(value)))


def lowered(case: TestCase) -> OnnxProgram | None:
    try:
        return OnnxProgram(case.model)
    except (UnsupportedOperatorError, ModelLoadError):
        return None


def excepted(case: TestCase) -> bool:
    return any(re.search(pattern, case.name) for pattern in EXCEPTIONS)


def check_forward(case: TestCase, program: OnnxProgram) -> None:
    for inputs, outputs in case.data_sets:
        results = program(program.parameters, *map(tensor, inputs))
        for result, wanted in zip(results, map(tensor, outputs), strict=True):
            assert result.dtype == wanted.dtype, case.name
            if not result.is_complex():
                result, wanted = result.double(), wanted.double()
            torch.testing.assert_close(result, wanted, rtol=case.rtol, atol=case.atol, equal_nan=True)


def test_every_supported_case_of_the_standard_passes() -> None:
    outcomes: Counter[str] = Counter()
    failures = {}
    for case in cases():
        program = lowered(case)
        if program is None or excepted(case):
            outcomes["unsupported" if program is None else "excepted"] += 1
            continue
        try:
            check_forward(case, program)
            outcomes["passed"] += 1
        except Exception as error:
            failures[case.name] = str(error)[:200]
    sys.stdout.write(f"ONNX node cases: {dict(outcomes)}\n")
    assert not failures
    assert outcomes["passed"] >= FEWEST_PASSING


def test_exceptions_are_needed() -> None:
    """Each reason still stands for at least one case that fails, so that none outlives its cause."""
    for pattern in EXCEPTIONS:
        matching = [case for case in cases() if re.search(pattern, case.name)]
        programs = [(case, program) for case in matching if (program := lowered(case)) is not None]
        assert any(fails(case, program) for case, program in programs), pattern


def fails(case: TestCase, program: OnnxProgram) -> bool:
    try:
        check_forward(case, program)
    except Exception:
        return True
    return False


SINGULAR = {
    r"^test_acosh_example$": "arcosh has infinite slope at 1",
    r"^test_pow$": "the second derivative by an exponent takes the logarithm of the base",
    r"^test_training_dropout_zero_ratio": "whether to drop is decided by a floating input",
    r"^test_onehot|^test_range_float|^test_range_.*float16": "a shape is made of a floating input",
}


def test_every_differentiable_case_has_all_derivatives_and_batches() -> None:
    """⟨u,Jv⟩ = ⟨Jᵀu,v⟩, forward over reverse = reverse over reverse, and vmap = a loop, in float64."""
    failures, checked = {}, 0
    for case in cases():
        if (
            any(re.search(pattern, case.name) for pattern in (*SINGULAR, *EXCEPTIONS))
            or len(case.model.graph.node) != 1
        ):
            continue
        program = lowered(case)
        inputs = [tensor(value) for value in case.data_sets[0][0]] if program else []
        if not any(x.is_floating_point() and x.numel() for x in inputs) or program is None:
            continue
        try:
            checked += check_derivatives(program.to(dtype=torch.float64), inputs)
        except Exception as error:
            failures[case.name] = str(error)[:90]
    sys.stdout.write(f"ONNX node cases with derivatives checked: {checked}\n")
    assert not failures, list(failures)
    assert checked >= 600  # the same ratchet


def check_derivatives(program: OnnxProgram, inputs: list[Tensor], places: list[int] | None = None) -> bool:
    inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    if places is None:
        places = [i for i, x in enumerate(inputs) if x.is_floating_point() and x.numel()]

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        replaced = dict(zip(places, values, strict=True))
        results = program(program.parameters, *(replaced.get(i, x) for i, x in enumerate(inputs)))
        return tuple(y for y in results if y.is_floating_point())

    primals = tuple(inputs[i] for i in places)
    outputs = function(*primals)
    if not outputs:
        return False
    generator = torch.Generator().manual_seed(0)
    v = tuple(torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in primals)
    u = tuple(torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in outputs)
    pushed, pulled = jvp(function, primals, v)[1], vjp(function, *primals)[1](u)
    forward, backward = inner(u, pushed), inner(pulled, v)
    assert not math.isfinite(forward) or forward == pytest.approx(backward, rel=1e-8, abs=1e-8)

    def slope(*values: Tensor) -> tuple[Tensor, ...]:
        return vjp(function, *values)[1](u)

    mixed, reverse = jvp(slope, primals, v)[1], vjp(slope, *primals)[1](v)
    for one, other in zip(mixed, reverse, strict=True):
        if one.isfinite().all():
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)
    batched = vmap(function)(*(torch.stack([x, x]) for x in primals))
    for single, double in zip(outputs, batched, strict=True):
        torch.testing.assert_close(double, torch.stack([single, single]), equal_nan=True)
    vmap(slope)(*(torch.stack([x, x]) for x in primals))
    return True


def inner(left: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> float:
    return float(sum((a * b).sum() for a, b in zip(left, right, strict=True)))
