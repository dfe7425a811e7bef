"""ONNX Runtime's own operators: against ONNX Runtime where the CPU runs them, else against what they stand for."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor

from eigengate.errors import ModelExecutionError, UnsupportedOperatorError
from eigengate.loading.onnx import OnnxProgram, OnnxRuntime
from eigengate.loading.onnx.registry import Operator, registered_operators
from tests.support.microsoft import attention, grouped_attention, indexing, layers, mixtures, products, sequences
from tests.support.microsoft.arrays import Draws, int32, int64, mask
from tests.support.microsoft.case import MicrosoftCase
from tests.support.microsoft.unfused import PAIRS, reference
from tests.support.operator_derivatives import check_every_derivative, check_finite_differences

FAMILIES = (layers, products, attention, grouped_attention, mixtures, sequences, indexing)
CASES = [case for family in FAMILIES for case in family.CASES]
# Sums of at most some hundred float32 products of numbers around one, taken in another order.
ROUNDING = {"rtol": 2e-5, "atol": 2e-6}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_computes_what_onnxruntime_computes(case: MicrosoftCase) -> None:
    program = OnnxProgram(case.model)
    results = program(program.parameters, *case.inputs)
    wanted = OnnxRuntime(case.model.SerializeToString())(*case.inputs)
    assert len(wanted) == len(case.wanted)
    for name, ours, theirs in zip(case.wanted, results, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        torch.testing.assert_close(case.specified(name, ours), case.specified(name, theirs), **ROUNDING)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_has_every_derivative_and_batches(case: MicrosoftCase) -> None:
    check_every_derivative(OnnxProgram(case.model), case.inputs)


@pytest.mark.parametrize(("case", "body"), PAIRS, ids=lambda value: getattr(value, "name", ""))
def test_computes_what_the_graph_it_stands_for_computes(case: MicrosoftCase, body: str) -> None:
    program = OnnxProgram(case.model)
    ours = program(program.parameters, *case.inputs)[0]
    theirs = OnnxRuntime(reference(case, body).SerializeToString())(*case.inputs)[0]
    torch.testing.assert_close(ours, theirs, **ROUNDING)
    check_every_derivative(program, case.inputs)


def test_every_operator_of_the_domain_has_a_case() -> None:
    known = {op.name for op in registered_operators() if op.domain == "com.microsoft" and ".microsoft_" in module(op)}
    tried = {case.operator for case in (*CASES, *(case for case, _ in PAIRS)) if case.domain == "com.microsoft"}
    assert known - tried == {"LayerNormalization", "SimplifiedLayerNormalization", "Range"}


def module(op: Operator) -> str:
    return op.function.__module__


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_works_in_the_type_it_is_asked_for(case: MicrosoftCase) -> None:
    for working in (torch.float16, torch.float64):
        program = OnnxProgram(case.model).to(dtype=working)
        inputs = [x.to(working) if x.is_floating_point() else x for x in case.inputs]
        results = program(program.parameters, *inputs)
        wanted = [name for name in case.wanted if name not in case.integers]
        floating = [value for value in results if value.is_floating_point()]
        assert len(floating) == len(wanted)
        # Moments of a normalisation, and what a formula says to compute wider, may stay in float32.
        assert floating[0].dtype == working
        assert all(value.dtype in (working, torch.float32) for value in floating)


@pytest.mark.parametrize(
    ("name", "operands"),
    [("LayerNormalization", ("x", "scale", "bias")), ("SimplifiedLayerNormalization", ("x", "scale"))],
)
def test_a_norm_means_the_same_in_both_domains(name: str, operands: tuple[str, ...]) -> None:
    d = Draws(name)
    values = {"x": d.real(2, 3, 4), "scale": d.scale(4), "bias": d.real(4)}
    given = tuple(values[operand] for operand in operands)
    results = []
    for domain in ("", "com.microsoft"):
        case = MicrosoftCase(name, name, given, {"epsilon": 0.1}, domain=domain, opset=14)
        program = OnnxProgram(case.model)
        results.append(program(program.parameters, *case.inputs)[0])
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    "operands",
    [
        (np.float32(1), np.float32(4), np.float32(0.5)),
        (np.float32(1), np.float32(4)),
        (int64(5), int64(1), int64(-2)),
    ],
    ids=["by halves", "by ones", "backwards"],
)
def test_a_range_has_the_numbers_onnxruntime_gives(operands: tuple[Any, ...]) -> None:
    case = MicrosoftCase("range", "Range", operands)
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    del model.graph.output[:]
    model.graph.output.append(helper.make_empty_tensor_value_info("y"))
    program = OnnxProgram(model)
    ours = program(program.parameters, *case.inputs)
    # The same few additions and products on both sides.
    torch.testing.assert_close(ours, OnnxRuntime(model.SerializeToString())(*case.inputs), rtol=1e-6, atol=0)


def test_a_range_is_differentiable_by_where_it_starts_and_how_it_goes_on() -> None:
    program = OnnxProgram(MicrosoftCase("range", "Range", tuple(map(np.float32, (1, 4, 0.5)))).model)
    doubled = program.to(dtype=torch.float64)
    limit = torch.tensor(3.9, dtype=torch.float64)

    def numbers(start: Tensor, delta: Tensor) -> tuple[Tensor, ...]:
        return doubled({}, start, limit, delta)

    operands = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    assert len(numbers(*operands)[0]) == 6
    check_finite_differences(numbers, operands)


def _refused() -> dict[str, MicrosoftCase]:
    d = Draws("refused")
    x, weights, q, cache = d.real(2, 3, 6), d.real(6, 24), d.real(2, 1, 64), d.real(2, 2, 4, 16)
    step = (q, d.real(2, 1, 32), d.real(2, 1, 32), cache, cache, int32(4, 4), np.int32(5))
    groups = {"num_heads": 4, "kv_num_heads": 2}
    experts = (d.real(3, 4), d.real(3, 5), d.real(5, 6, 4), None, d.real(5, 4, 6))
    heads = (d.real(2, 5, 4), d.real(2, 5, 4), d.real(2, 5, 4), None, d.real(2, 5, 1), d.real(2, 5, 1))
    cases = {
        "rotation within": ("Attention", (x, weights), {"num_heads": 2, "do_rotary": 1}),
        "a shared buffer": ("Attention", (x, weights), {"num_heads": 2, "past_present_share_buffer": 1}),
        "an evicting cache": (
            "GroupQueryAttention",
            step,
            {**groups, "sliding_window_cache": 1, "local_window_size": 3},
        ),
        "a quantised cache": ("GroupQueryAttention", (*step, *[None] * 5, d.real(1)), groups),
        "norms within": ("GroupQueryAttention", (*step, *[None] * 7, d.real(16), d.real(16)), groups),
        "sparse mixers": ("MoE", experts, {"k": 2, "use_sparse_mixer": 1}),
        "a third product": ("MoE", (*experts, None, d.real(5, 6, 4)), {}),
        "an unknown activation": ("FusedGemm", (d.real(3, 4), d.real(4, 5)), {"activation": "Snake"}),
        "several axes": ("CausalConvWithState", (d.real(2, 3, 5, 5), d.real(3, 1, 3, 3)), {"ndim": 2}),
        "several states": ("LinearAttention", heads, {"q_num_heads": 1, "kv_num_heads": 1, "state_window": 2}),
        "training": ("BiasDropout", (x, d.real(6), None, np.float32(0.5), np.bool_(True)), {}),
        "two-sided transforms": ("Rfft", (x,), {"onesided": 0}),
        "projected gates": ("GatedAdd", (x, x, x, d.real(6, 1)), {}),
    }
    return {name: MicrosoftCase(name, *parts) for name, parts in cases.items()}


@pytest.mark.parametrize("case", _refused().values(), ids=lambda case: case.name)
def test_refuses_what_no_cpu_computes(case: MicrosoftCase) -> None:
    """Each of these would otherwise run and give something else: attributes change what is computed."""
    with pytest.raises(UnsupportedOperatorError):
        run(case)


def run(case: MicrosoftCase) -> tuple[Tensor, ...]:
    program = OnnxProgram(case.model)
    return program(program.parameters, *case.inputs)


def test_beams_are_refused() -> None:
    d = Draws("beams")
    q, cache = d.real(2, 1, 8), d.real(2, 2, 6, 4)
    beams = (q, q, q, None, None, cache, cache, int32(2), int32(2), int32([[0] * 6] * 2))
    shared = {"num_heads": 2, "past_present_share_buffer": 1}
    case = MicrosoftCase("beams", "DecoderMaskedMultiHeadAttention", beams, shared)
    program = OnnxProgram(case.model)
    with pytest.raises(UnsupportedOperatorError, match="beam"):
        program(program.parameters, *case.inputs)


def test_a_mask_hides_from_gradients_what_it_hides() -> None:
    """Keys that are padding get no gradient, even at the finite number that stands for minus infinity."""
    d = Draws("hidden")
    operands = (d.real(2, 3, 8), d.real(2, 3, 8), d.real(2, 3, 8), None, mask("110", "111"))
    case = MicrosoftCase("hidden", "MultiHeadAttention", operands, {"num_heads": 2, "unidirectional": 1})
    program = OnnxProgram(case.model).to(dtype=torch.float64)
    q, k, v, shown = case.inputs
    keys, values = (x.double().requires_grad_() for x in (k, v))
    result = program(program.parameters, q.double(), keys, values, shown)[0]
    by_keys, by_values = torch.autograd.grad(result.square().sum(), (keys, values))
    # exp(-10000) is zero in float64.
    assert not by_keys[0, 2].any()
    assert not by_values[0, 2].any()
    assert by_values[1, 2].all()


def test_a_missing_operand_is_reported_as_the_node_that_failed() -> None:
    d = Draws("missing")
    case = MicrosoftCase("missing", "GroupQueryAttention", (d.real(2, 5, 64),), {"num_heads": 4, "kv_num_heads": 2})
    program = OnnxProgram(case.model)
    with pytest.raises(ModelExecutionError, match="GroupQueryAttention"):
        program(program.parameters, *case.inputs)
