"""Attention, rotary positions, matrix products and softmax over their versions, against onnxruntime and formulas."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, given, node_program, run_node

QUERIES, KEYS, PAST = 3, 5, 2

every_version = pytest.mark.parametrize("opset", [23, 24])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def operands(heads: int = 4) -> list[Tensor]:
    """Queries of that many heads, keys and values of two."""
    return [normal(2, heads, QUERIES, 6), normal(2, 2, KEYS, 6, seed=1), normal(2, 2, KEYS, 4, seed=2)]


def past() -> list[Tensor]:
    return [normal(2, 2, PAST, 6, seed=3), normal(2, 2, PAST, 4, seed=4)]


def masks(keys: int) -> dict[str, Tensor | None]:
    seen = normal(2, 1, QUERIES, keys, seed=5) > -0.5
    seen[..., 0] = True
    return {"none": None, "added": normal(QUERIES, keys, seed=6), "boolean": seen[0, 0], "batched": seen}


@every_version
@pytest.mark.parametrize("mask", masks(KEYS))
@pytest.mark.parametrize("is_causal", [0, 1])
@pytest.mark.parametrize("mode", [0, 1, 3])
def test_attention_is_that_of_onnxruntime(opset: int, mask: str, is_causal: int, mode: int) -> None:
    attributes = {"opset": opset, "outputs": 4, "is_causal": is_causal, "qk_matmul_output_mode": mode}
    for heads in (2, 4):
        for scores in ({}, {"softcap": 1.5}, {"scale": 0.3, "softcap": 2.0}):
            for before, hidden in (([], masks(KEYS)[mask]), (past(), masks(PAST + KEYS)[mask])):
                inputs = [*operands(heads), hidden, *before]
                while inputs[-1] is None:
                    inputs.pop()
                assert_agrees_with_onnxruntime("Attention", *inputs, **attributes, **scores)


def formula(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, is_causal: int, offset: int, softcap: float
) -> tuple[Tensor, ...]:
    """Result and the four kinds of scores, in the terms of the standard."""
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    raw = query @ key.mT / math.sqrt(query.shape[-1])
    capped = softcap * torch.tanh(raw / softcap) if softcap else raw
    masked = capped
    if mask is not None:
        masked = masked.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else masked + mask
    if is_causal:
        rows, columns = torch.arange(query.shape[2]).unsqueeze(1), torch.arange(key.shape[2])
        masked = masked.masked_fill(columns > rows + offset, -math.inf)
    weights = masked.softmax(-1)
    return weights @ value, raw, capped, masked, weights


@every_version
@pytest.mark.parametrize("mask", masks(KEYS))
@pytest.mark.parametrize("is_causal", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 1.5])
def test_attention_is_that_of_the_formula_in_float64(opset: int, mask: str, is_causal: int, softcap: float) -> None:
    """Its masked scores (mode 2) are minus infinity, for which onnxruntime has its lowest number."""
    query, key, value = (x.double() for x in operands())
    before, earlier = (x.double() for x in past())
    hidden = masks(PAST + KEYS)[mask]
    hidden = hidden.double() if mask == "added" and hidden is not None else hidden
    all_keys, all_values = torch.cat([before, key], 2), torch.cat([earlier, value], 2)
    options = {"is_causal": is_causal, "softcap": softcap}
    result, *scores = formula(query, all_keys, all_values, hidden, offset=PAST, **options)
    for mode, expected in enumerate(scores):
        inputs = [query, key, value, hidden, before, earlier]
        found = run_node("Attention", *inputs, opset=opset, outputs=4, qk_matmul_output_mode=mode, **options)
        for one, other in zip(found, (result, all_keys, all_values, expected), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)  # rounding of float64


@every_version
def test_packed_heads_are_those_of_onnxruntime(opset: int) -> None:
    packed = [x.transpose(1, 2).flatten(2) for x in operands()]
    attributes = {"opset": opset, "q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1}
    assert_agrees_with_onnxruntime("Attention", *packed, **attributes)
    separate = run_node("Attention", *operands(), opset=opset, is_causal=1)
    assert torch.equal(run_node("Attention", *packed, **attributes), separate.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("mask", ["none", "added", "batched"])
def test_half_precision_is_that_of_onnxruntime(mask: str) -> None:
    hidden = masks(KEYS)[mask]
    hidden = hidden.half() if mask == "added" and hidden is not None else hidden
    inputs = given([*(x.half() for x in operands()), hidden])
    assert_agrees_with_onnxruntime("Attention", *inputs, opset=23, is_causal=1)


def test_keys_beyond_their_number_are_not_looked_at() -> None:
    """Every sample alone, with the keys it has."""
    lengths = torch.tensor([4, 2])
    query, key, value = operands()
    together = run_node("Attention", query, key, value, None, None, None, lengths, opset=24)
    for sample, count in enumerate(lengths.tolist()):
        row = slice(sample, sample + 1)
        alone = run_node("Attention", query[row], key[row, :, :count], value[row, :, :count], opset=24)
        # Zeros added to the same sums, in single precision.
        torch.testing.assert_close(together[row], alone, rtol=1e-6, atol=1e-6)


def test_windows_bound_how_far_a_query_looks() -> None:
    query, key, value = operands()
    rows, columns = torch.arange(QUERIES).unsqueeze(1), torch.arange(KEYS)
    near = (columns >= rows - 1) & (columns <= rows + 2)
    windows = {"left_window_size": 1, "right_window_size": 2}
    found = run_node("Attention", query, key, value, opset=25, **windows)
    assert torch.equal(found, run_node("Attention", query, key, value, near, opset=25))


@pytest.mark.parametrize("kind", ["boolean", "added"])
@every_version
def test_a_query_that_sees_nothing_gives_zero_and_no_gradient(kind: str, opset: int) -> None:
    seen = torch.ones(QUERIES, KEYS, dtype=torch.bool)
    seen[1] = False
    mask = seen if kind == "boolean" else torch.where(seen, 0.0, -math.inf).double()
    query, key, value = (x.double() for x in operands())
    program = node_program("Attention", query, key, value, mask, opset=opset)

    def mixed(*values: Tensor) -> Tensor:
        result: Tensor = program({}, *values, mask)[0]
        return result

    assert not mixed(query, key, value)[:, :, 1].any()
    blind = torch.func.vjp(lambda *values: mixed(*values)[:, :, 1], query, key, value)
    assert not any(slope.any() for slope in blind[1](torch.ones_like(blind[0])))
    slopes = torch.func.grad(lambda *values: mixed(*values).square().sum(), (0, 1, 2))(query, key, value)
    others = query[:, :, [0, 2]]
    rest = node_program("Attention", others, key, value, opset=opset)
    expected = torch.func.grad(lambda *values: rest({}, *values)[0].square().sum(), (0, 1, 2))(others, key, value)
    assert not slopes[0][:, :, 1].any()
    torch.testing.assert_close(slopes[0][:, :, [0, 2]], expected[0])
    torch.testing.assert_close(slopes[1:], expected[1:])
    if kind == "boolean":  # no differences are taken of infinity
        check_every_derivative(program, [query, key, value, mask])


@pytest.mark.parametrize("mode", [0, 1, 3])
@pytest.mark.parametrize("mask", ["none", "added", "batched"])
def test_attention_has_two_derivatives(mode: int, mask: str) -> None:
    inputs = [*operands(), masks(PAST + KEYS)[mask], *past()]
    attributes: dict[str, Any] = {"is_causal": 1, "softcap": 1.5, "qk_matmul_output_mode": mode}
    program = node_program("Attention", *inputs, opset=24, outputs=4, **attributes)
    check_every_derivative(program, given(inputs))


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("width", [0, 4])
def test_pairs_of_features_are_turned_by_their_place(interleaved: int, width: int) -> None:
    half = (width or 8) // 2
    attributes = {"opset": 23, "interleaved": interleaved, "rotary_embedding_dim": width, "num_heads": 3}
    x, places = normal(2, 3, 5, 8), torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(0))
    table = [normal(7, half, seed=1), normal(7, half, seed=2)]
    per_place = [normal(2, 5, half, seed=1), normal(2, 5, half, seed=2)]
    for value in (x, x.transpose(1, 2).flatten(2)):
        assert_agrees_with_onnxruntime("RotaryEmbedding", value, *table, places, **attributes)
        assert_agrees_with_onnxruntime("RotaryEmbedding", value, *per_place, **attributes)
    check_every_derivative(node_program("RotaryEmbedding", x, *table, places, **attributes), [x, *table, places])


EQUATIONS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "...ii->...i": ((2, 3, 3),),
    "iij,jk->ki": ((2, 2, 3), (3, 4)),
    "ba": ((2, 3),),
    "i,j": ((2,), (3,)),
    "ij->": ((2, 3),),
    "b...i, b i -> b...": ((2, 3, 4), (2, 4)),
    "...ij,...jk->...ik": ((5, 2, 3), (1, 3, 4)),
    "a...,a...->...": ((2, 3), (2, 3)),
    "bi,ijk,bk->bj": ((2, 3), (3, 4, 3), (2, 3)),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_sums_of_products_are_those_of_onnxruntime(equation: str) -> None:
    factors = [normal(*shape, seed=place) for place, shape in enumerate(EQUATIONS[equation])]
    assert_agrees_with_onnxruntime("Einsum", *factors, opset=12, equation=equation)
    check_every_derivative(node_program("Einsum", *factors, opset=12, equation=equation), factors)


@pytest.mark.parametrize("addend", [None, (), (1,), (4,), (1, 4), (2, 1), (2, 4)], ids=str)
@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_products_are_scaled_turned_and_shifted(addend: tuple[int, ...] | None, turned: tuple[int, int]) -> None:
    first, second = turned
    a, b = normal(*((3, 2) if first else (2, 3))), normal(*((4, 3) if second else (3, 4)), seed=1)
    inputs = [a, b] if addend is None else [a, b, normal(*addend, seed=2)]
    flags = {"transA": first, "transB": second}
    for opset in (11, 13) if addend is None else (7, 9, 11, 13):
        assert_agrees_with_onnxruntime("Gemm", *inputs, opset=opset, **flags)
        assert_agrees_with_onnxruntime("Gemm", *inputs, opset=opset, alpha=0.3, beta=-0.7, **flags)
    check_every_derivative(node_program("Gemm", *inputs, opset=13, alpha=0.3, beta=-0.7, **flags), inputs)


@pytest.mark.parametrize("left", [(3,), (2, 3), (5, 2, 3), (2, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("right", [(3,), (3, 2), (5, 3, 2)], ids=str)
def test_vectors_and_batches_are_multiplied_as_in_numpy(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    factors = [normal(*left), normal(*right, seed=1)]
    for opset in (7, 9, 13):
        assert_agrees_with_onnxruntime("MatMul", *factors, opset=opset)
    check_every_derivative(node_program("MatMul", *factors, opset=13), factors)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2])
def test_before_version_13_everything_from_the_axis_on_is_one_distribution(name: str, axis: int | None) -> None:
    x, attributes = normal(2, 3, 4), {} if axis is None else {"axis": axis}
    for opset in (7, 11, 13):
        if opset > 7 or axis is None or axis >= 0:
            assert_agrees_with_onnxruntime(name, x, opset=opset, **attributes)
        if name != "Hardmax":
            check_every_derivative(node_program(name, x, opset=opset, **attributes), [x])
    of_matrix, of_axis = (run_node(name, x, opset=opset, **attributes) for opset in (11, 13))
    assert torch.equal(of_matrix, of_axis) == (axis in (2, -1))


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_scores_beyond_what_an_exponential_holds_have_finite_values_and_slopes(name: str) -> None:
    x = torch.tensor([[1e4, 0.0, -1e4]], dtype=torch.float64)
    for opset in (11, 13):
        program = node_program(name, x, opset=opset)
        y, slope = program({}, x)[0], torch.func.jacrev(lambda value, p=program: p({}, value)[0])(x)
        expected = F.softmax(x, 1) if name == "Softmax" else F.log_softmax(x, 1)
        assert torch.equal(y, expected)
        assert slope.isfinite().all()


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_that_of_onnxruntime_and_has_two_derivatives(approximate: str) -> None:
    x = 3 * normal(50)
    for dtype in (torch.float32, torch.float16):
        assert_agrees_with_onnxruntime("Gelu", x.to(dtype), opset=20, approximate=approximate)
    exact = x.double() * 0.5 * (1 + torch.erf(x.double() / math.sqrt(2)))
    inner = math.sqrt(2 / math.pi) * (x.double() + 0.044715 * x.double() ** 3)
    exact = exact if approximate == "none" else x.double() * 0.5 * (1 + torch.tanh(inner))
    found = run_node("Gelu", x.double(), opset=20, approximate=approximate)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-14)  # rounding of float64
    check_every_derivative(node_program("Gelu", x, opset=20, approximate=approximate), [x])
