"""Arithmetic, comparison and reduction over integers, above all those torch has no kernels for, and types that mix."""

import operator
from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import Tensor

from eigengate.errors import ModelExecutionError
from tests.support.operator_derivatives import check_every_derivative, check_finite_differences
from tests.support.single_nodes import assert_agrees_with_onnxruntime, element_type, node_program, run_node

SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)
UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
FLOATING = (torch.float32, torch.float64, torch.float16)

every_integer = pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED], ids=str)
unsigned = pytest.mark.parametrize("dtype", UNSIGNED, ids=str)


def bits(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    """Numbers over the whole range of the type, its ends among them."""
    values = torch.randint(-(2**63), 2**63 - 1, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    info = torch.iinfo(dtype)
    flat = np.array(values.numpy()).reshape(-1)
    flat[:3] = info.min, info.max, info.max // 2 + 1
    return torch.from_numpy(flat.reshape(shape))


def same(result: Tensor, wanted: np.ndarray) -> None:
    assert result.numpy().dtype == wanted.dtype
    np.testing.assert_array_equal(result.numpy(), wanted)


@every_integer
@pytest.mark.parametrize(
    ("name", "opset", "function"),
    [
        ("Add", 14, operator.add),
        ("Sub", 14, operator.sub),
        ("Mul", 14, operator.mul),
        ("Max", 13, np.maximum),
        ("Min", 13, np.minimum),
        ("Equal", 13, operator.eq),
        ("Less", 9, operator.lt),
        ("Greater", 9, operator.gt),
        ("LessOrEqual", 12, operator.le),
        ("GreaterOrEqual", 16, operator.ge),
        ("BitwiseAnd", 18, operator.and_),
        ("BitwiseOr", 18, operator.or_),
        ("BitwiseXor", 18, operator.xor),
    ],
)
def test_two_integers_combine_as_in_numpy(
    name: str, opset: int, function: Callable[..., np.ndarray], dtype: torch.dtype
) -> None:
    a, b = bits(dtype, 6, 5), bits(dtype, 5, seed=1)
    with np.errstate(over="ignore"):
        same(run_node(name, a, b, opset=opset), function(a.numpy(), b.numpy()))
        same(run_node(name, a, a, opset=opset), function(a.numpy(), a.numpy()))


@every_integer
def test_division_rounds_towards_zero_and_the_remainder_has_either_sign(dtype: torch.dtype) -> None:
    a, b = bits(dtype, 40, 40), bits(dtype, 40, seed=1)
    # The lowest signed number by −1 is the one quotient that its type cannot hold.
    divisor = torch.from_numpy(np.where(np.isin(b.numpy(), [0, np.array(-1).astype(b.numpy().dtype)]), 3, b.numpy()))
    exact = np.array(a.tolist(), dtype=object), np.array(divisor.tolist(), dtype=object)
    floored = exact[0] // exact[1]
    cut = floored + ((floored < 0) & (floored * exact[1] != exact[0]))
    numpy_type = a.numpy().dtype
    same(run_node("Div", a, divisor, opset=14), cut.astype(numpy_type))
    same(run_node("Mod", a, divisor, opset=10), (exact[0] - floored * exact[1]).astype(numpy_type))
    same(run_node("Mod", a, divisor, opset=28, fmod=1), (exact[0] - cut * exact[1]).astype(numpy_type))


@every_integer
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bits_shift_out_and_the_sign_moves_in(dtype: torch.dtype, direction: str) -> None:
    width = 8 * dtype.itemsize
    places = torch.tensor([0, 1, 3, width - 1, width, 100]).to(dtype).unsqueeze(1)
    if dtype in SIGNED:
        places[-1] = -1
    x = bits(dtype, 9)
    shifted = run_node("BitShift", x, places, opset=28, direction=direction)
    for row, place in zip(shifted.tolist(), places.flatten().tolist(), strict=True):
        beyond = not 0 <= place < width
        for result, number in zip(row, x.tolist(), strict=True):
            if direction == "RIGHT":
                assert result == ((-1 if number < 0 else 0) if beyond else number >> place)
            else:
                assert (result - (0 if beyond else number << place)) % 2**width == 0


@every_integer
def test_one_integer_changes_as_in_numpy(dtype: torch.dtype) -> None:
    x = bits(dtype, 4, 5)
    same(run_node("BitwiseNot", x, opset=18), ~x.numpy())
    same(run_node("Sign", x, opset=13), np.sign(x.numpy()))
    same(run_node("CumSum", x, torch.tensor(1), opset=14), np.cumsum(x.numpy(), 1, x.numpy().dtype))
    if dtype in UNSIGNED:
        same(run_node("Abs", x, opset=13), x.numpy())


@every_integer
def test_integers_are_clipped_between_either_bound(dtype: torch.dtype) -> None:
    x = bits(dtype, 30)
    low, high = (torch.from_numpy(np.sort(x.numpy())[[place]]) for place in (9, 21))
    same(run_node("Clip", x, low, high, opset=13), np.clip(x.numpy(), low.numpy(), high.numpy()))
    same(run_node("Clip", x, None, high, opset=12), np.minimum(x.numpy(), high.numpy()))
    same(run_node("Clip", x, low, opset=12), np.maximum(x.numpy(), low.numpy()))
    same(run_node("Clip", x, high, low, opset=12), np.full_like(x.numpy(), low.item()))


@unsigned
def test_unsigned_numbers_are_reduced_and_compared_by_their_size(dtype: torch.dtype) -> None:
    x = bits(dtype, 4, 5)
    axes = torch.tensor([1])
    same(run_node("ReduceMax", x, axes, opset=18, keepdims=0), x.numpy().max(1))
    same(run_node("ReduceMin", x, axes, opset=18), x.numpy().min(1, keepdims=True))
    same(run_node("ArgMax", x, opset=13, axis=1, keepdims=0), x.numpy().argmax(1))
    same(run_node("ReduceMax", x[:, :0], axes, opset=20, keepdims=0), np.zeros(4, x.numpy().dtype))
    highest = np.full(4, torch.iinfo(dtype).max, x.numpy().dtype)
    same(run_node("ReduceMin", x[:, :0], axes, opset=20, keepdims=0), highest)
    with np.errstate(over="ignore"):
        same(run_node("ReduceSum", x, axes, opset=13, keepdims=0), x.numpy().sum(1, x.numpy().dtype))
        same(run_node("ReduceL1", x, opset=13, axes=[1], keepdims=0), x.numpy().sum(1, x.numpy().dtype))
        same(run_node("ReduceProd", x, axes, opset=18, keepdims=0), x.numpy().prod(1, x.numpy().dtype))
        same(run_node("ReduceSumSquare", x, axes, opset=18, keepdims=0), (x.numpy() ** 2).sum(1, x.numpy().dtype))


@pytest.mark.parametrize("exponent", [*SIGNED, *UNSIGNED, *FLOATING], ids=str)
@pytest.mark.parametrize("base", [torch.int32, torch.int64, *FLOATING], ids=str)
def test_powers_have_the_type_of_the_base(base: torch.dtype, exponent: torch.dtype) -> None:
    x, powers = torch.tensor([-3, -1, 2, 5]).to(base), torch.tensor([[0], [1], [3]]).to(exponent)
    result = run_node("Pow", x, powers, opset=15)
    assert result.dtype == base
    assert torch.equal(result.long(), torch.tensor([[1, 1, 1, 1], [-3, -1, 2, 5], [-27, -1, 8, 125]]))


def test_a_large_integer_to_a_floating_power_keeps_its_digits() -> None:
    """float32, the type of the exponent, would lose the last digit."""
    assert run_node("Pow", torch.tensor([16777217]), torch.tensor([1.0]), opset=13).tolist() == [16777217]


def test_a_whole_power_of_zero_has_two_derivatives() -> None:
    x, powers = torch.zeros(4), torch.tensor([0, 1, 2, 3])
    program = node_program("Pow", x, powers, opset=13).to(dtype=torch.float64)
    curvature = torch.func.hessian(lambda value: program({}, value, powers)[0].sum())(x.double())
    assert torch.equal(curvature, torch.diag(torch.tensor([0.0, 0.0, 2.0, 0.0], dtype=torch.float64)))


@pytest.mark.parametrize(
    ("source", "target"), [(torch.float32, torch.int32), (torch.int64, torch.float64), (torch.uint16, torch.float16)]
)
def test_a_bit_cast_keeps_the_bits(source: torch.dtype, target: torch.dtype) -> None:
    x = torch.arange(1, 7).to(source)
    there = run_node("BitCast", x, opset=26, to=element_type(target))
    assert there.dtype == target
    assert torch.equal(run_node("BitCast", there, opset=26, to=element_type(source)), x)


def test_a_bit_cast_in_double_precision_is_that_of_the_model() -> None:
    x = torch.tensor([1.0, -0.5])
    patterns = x.view(torch.int32)
    there = node_program("BitCast", x, opset=26, to=TensorProto.INT32).to(dtype=torch.float64)
    back = node_program("BitCast", patterns, opset=26, to=TensorProto.FLOAT).to(dtype=torch.float64)
    assert torch.equal(there({}, x.double())[0], patterns)
    assert torch.equal(back({}, patterns)[0], x.double())
    short = node_program("BitCast", x.half(), opset=26, to=TensorProto.INT16).to(dtype=torch.float64)
    with pytest.raises(ModelExecutionError, match="float16 or a bfloat16"):
        short({}, x.double())


@pytest.mark.parametrize("name", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("opset", [7, 8, 13])
def test_one_or_many_operands_are_combined(name: str, opset: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(3, 4, generator=generator) for _ in range(3))
    assert_agrees_with_onnxruntime(name, a, opset=opset)
    assert_agrees_with_onnxruntime(name, a, b, c, opset=opset)
    if opset > 7:
        assert_agrees_with_onnxruntime(name, a, b[:1], c[:, :1], opset=opset)
        check_every_derivative(node_program(name, a, b[:1], c[:, :1], opset=opset), [a, b[:1], c[:, :1]])


@pytest.mark.parametrize("bounds", [{}, {"min": -0.5}, {"max": 0.3}, {"min": -3.4028234663852886e38, "max": 0.3}])
def test_the_widest_float32_is_no_bound_in_any_precision(bounds: dict[str, float]) -> None:
    """Exporters write it out as the default; half precision has no such number."""
    x = torch.randn(20, generator=torch.Generator().manual_seed(0))
    assert_agrees_with_onnxruntime("Clip", x, opset=7, **bounds)
    wanted = x.half().clamp(max(bounds.get("min", -9), -9), bounds.get("max", 9))
    assert torch.equal(run_node("Clip", x.half(), opset=7, **bounds), wanted)


@pytest.mark.parametrize("fmod", [0, 1])
def test_floating_remainders_have_derivatives(fmod: int) -> None:
    a, b = torch.tensor([5.3, -5.3, 5.3, -5.3]), torch.tensor([2.1, 2.1, -2.1, -2.1])
    wanted = np.fmod(a.numpy(), b.numpy()) if fmod else np.mod(a.numpy(), b.numpy())
    np.testing.assert_allclose(run_node("Mod", a, b, opset=28, fmod=fmod).numpy(), wanted, rtol=1e-6)  # float32
    check_every_derivative(node_program("Mod", a, b, opset=28, fmod=fmod), [a, b])


def test_the_sign_of_no_number_is_no_number() -> None:
    assert_agrees_with_onnxruntime("Sign", torch.tensor([float("nan"), -2.0, 0.0, float("inf")]), opset=13)


REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


# onnxruntime cuts an integer logarithm off after rounding it in float32.
KINDS = [(name, dtype) for name in REDUCTIONS for dtype in (torch.float32, torch.int32)]


@pytest.mark.parametrize(("name", "dtype"), [kind for kind in KINDS if kind != ("LogSumExp", torch.int32)])
def test_axes_come_as_an_attribute_or_as_an_input(name: str, dtype: torch.dtype) -> None:
    x = (torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1).to(dtype)
    newest_attribute, oldest_input = (12, 13) if name == "Sum" else (17, 18)
    for keep in (0, 1):
        for axes in ([-1], [0, 2], [2, 0, 1], None):
            by_attribute = {} if axes is None else {"axes": axes}
            by_input = None if axes is None else torch.tensor(axes)
            for opset in (7, 11, newest_attribute):
                assert_agrees_with_onnxruntime(f"Reduce{name}", x, opset=opset, keepdims=keep, **by_attribute)
            assert_agrees_with_onnxruntime(f"Reduce{name}", x, by_input, opset=oldest_input, keepdims=keep)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_over_no_axes_still_does_what_it_does_to_each_number(name: str) -> None:
    x = torch.rand(2, 3, generator=torch.Generator().manual_seed(0)) + 0.5
    for axes in (None, torch.zeros(0, dtype=torch.int64)):
        for noop in (0, 1):
            assert_agrees_with_onnxruntime(f"Reduce{name}", x, axes, opset=18, noop_with_empty_axes=noop)
    nothing = torch.zeros(0, dtype=torch.int64)
    program = node_program(f"Reduce{name}", x, nothing, opset=18, noop_with_empty_axes=1)
    check_every_derivative(program, [x, nothing])


def test_a_product_with_zeros_has_two_derivatives() -> None:
    x = torch.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0], [1.0, 2.0, 3.0]])
    check_every_derivative(node_program("ReduceProd", x, torch.tensor([1]), opset=18), [x, torch.tensor([1])])


def test_a_row_of_minus_infinity_has_the_derivative_zero() -> None:
    """A fully masked row: its sum of exponentials is 0, and no change of one element makes a difference."""
    x = torch.tensor([[-torch.inf, -torch.inf], [-torch.inf, 1.0], [0.5, 1.0]], dtype=torch.float64)
    axes = torch.tensor([1])
    assert_agrees_with_onnxruntime("ReduceLogSumExp", x, axes, opset=18)
    program = node_program("ReduceLogSumExp", x, axes, opset=18)

    def total(value: Tensor) -> Tensor:
        return program({}, value, axes)[0][1:].sum()

    p = torch.softmax(x[2], 0)
    slope, curvature = torch.func.grad(total)(x), torch.func.hessian(total)(x)
    torch.testing.assert_close(slope, torch.stack([torch.zeros(2).double(), torch.tensor([0.0, 1.0]).double(), p]))
    assert torch.isfinite(curvature).all()
    torch.testing.assert_close(curvature[2, :, 2], torch.diag(p) - torch.outer(p, p))


@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.uint8], ids=str)
def test_the_first_or_the_last_extremum_is_found(name: str, dtype: torch.dtype) -> None:
    x = torch.randint(0, 3, (4, 6), generator=torch.Generator().manual_seed(0)).to(dtype)
    for axis in (0, 1, -1):
        assert_agrees_with_onnxruntime(name, x, opset=11, axis=axis)
        for last in (0, 1):
            assert_agrees_with_onnxruntime(name, x, opset=13, axis=axis, keepdims=0, select_last_index=last)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
def test_sums_run_either_way_with_or_without_their_own_term(exclusive: int, reverse: int) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    attributes = {"exclusive": exclusive, "reverse": reverse}
    for axis in (torch.tensor(1), torch.tensor([-2], dtype=torch.int32)):
        assert_agrees_with_onnxruntime("CumSum", x, axis, opset=11, **attributes)
        check_every_derivative(node_program("CumSum", x, axis, opset=14, **attributes), [x, axis])
    assert run_node("CumSum", x[:, :0], torch.tensor(1), opset=14, **attributes).shape == (3, 0)


@pytest.mark.parametrize(
    "numbers", [(0, 10, 3), (10, 0, -3), (0, 0, 1), (5, 0, 1), (0, 9, 3), (-7, 8, 2), (0.3, 2.9, 0.1), (3.0, 0.1, -0.7)]
)
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64, torch.float32, torch.float64], ids=str)
def test_a_range_ends_before_its_limit(numbers: tuple[float, float, float], dtype: torch.dtype) -> None:
    operands = [torch.tensor(number).to(dtype) for number in numbers]
    if operands[2]:  # a fractional step of 0 in an integer type counts to nowhere
        assert_agrees_with_onnxruntime("Range", *operands, opset=11)


def test_a_range_is_differentiable_by_its_start_and_step() -> None:
    operands = [torch.tensor(number, dtype=torch.float64) for number in (0.1, 3.15, 0.5)]
    program = node_program("Range", *operands, opset=11)
    jacobians = torch.func.jacfwd(lambda *values: program({}, *values)[0], argnums=(0, 1, 2))(*operands)
    assert [jacobian.tolist() for jacobian in jacobians] == [[1.0] * 7, [0.0] * 7, [*range(7)]]
    check_finite_differences(lambda *values: program({}, *values), tuple(operands))


def test_a_range_in_half_precision_is_counted_in_single() -> None:
    """Every number is the half nearest to its own value: above 2048 a half cannot add one to its predecessor."""
    operands = [torch.tensor(number).half() for number in (0.0, 3000.0, 1.0)]
    assert torch.equal(run_node("Range", *operands, opset=27), torch.arange(3000.0).half())


def test_a_constant_without_a_value_has_the_working_precision() -> None:
    sizes = torch.tensor([2, 3])
    program = node_program("ConstantOfShape", sizes, opset=9)
    assert program({}, sizes)[0].dtype == torch.float32
    assert program.to(dtype=torch.float64)({}, sizes)[0].dtype == torch.float64


def test_a_cast_to_the_type_of_a_half_keeps_its_derivative_in_double_precision() -> None:
    x, target = torch.tensor([0.1, 2.0]), torch.zeros(0, dtype=torch.float16)
    assert run_node("CastLike", x, target, opset=15).dtype == torch.float16
    check_every_derivative(node_program("CastLike", x, target, opset=15), [x, target])


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.uint64, torch.bool], ids=str)
def test_ones_stand_on_the_diagonal_that_is_asked_for(dtype: torch.dtype) -> None:
    x = torch.ones(3, 4).to(dtype)
    for k in (0, 1, -2):
        wanted = np.eye(3, 4, k)
        same(run_node("EyeLike", x, opset=9, k=k), wanted.astype(x.numpy().dtype))
        same(run_node("EyeLike", x, opset=22, k=k, dtype=TensorProto.INT8), wanted.astype(np.int8))
