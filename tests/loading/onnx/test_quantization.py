"""Quantised numbers against onnxruntime: every granularity and version, and what has a derivative in it."""

import pytest
import torch
from torch import Tensor

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, element_type, node_program, run_node

EIGHT_BITS = (torch.uint8, torch.int8)
OLDEST = {torch.uint8: 10, torch.int8: 10, torch.uint16: 21, torch.int16: 21}

narrow_types = pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.int16], ids=str)
pairs_of_eight_bits = pytest.mark.parametrize(
    ("left", "right"), [(left, right) for left in EIGHT_BITS for right in EIGHT_BITS]
)
# With a result of the left type; it has no others.
pairs_that_onnxruntime_multiplies = pytest.mark.parametrize(
    ("left", "right"), [(torch.uint8, torch.uint8), (torch.uint8, torch.int8), (torch.int8, torch.int8)]
)
geometries = pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"pads": [1, 0, 2, 1], "strides": [2, 1]},
        {"dilations": [2, 1], "pads": [0, 2, 1, 0]},
        {"strides": [1, 3], "auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID", "kernel_shape": [3, 2]},
    ],
)


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wholes(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    info = torch.iinfo(dtype)
    return torch.randint(info.min, info.max + 1, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def factors(
    left: torch.dtype, right: torch.dtype, a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Two operands of a product; a signed one beside an unsigned one has seven bits.

    On processors without instructions for it onnxruntime adds pairs of such products in 16 bits, and saturates.
    """
    a, b = wholes(left, *a_shape), wholes(right, *b_shape, seed=1)
    if left is right:
        return a, b
    return (a, b // 2) if left is torch.uint8 else (a // 2, b)


def scales(*shape: int, seed: int = 0) -> Tensor:
    return reals(*shape, seed=seed).abs() * 0.02 + 0.01


def versions(dtype: torch.dtype, since: int = 0) -> list[int]:
    return [version for version in (10, 13, 19, 21, 23, 24) if version >= max(OLDEST.get(dtype, 10), since)]


@narrow_types
def test_one_scale_quantises_all(dtype: torch.dtype) -> None:
    for opset in versions(dtype):
        for x in (reals(3, 4, 5) * 20, reals(7), reals()):
            for scale in (torch.tensor(0.37), torch.tensor(0.0037)):
                assert_agrees_with_onnxruntime("QuantizeLinear", x, scale, wholes(dtype), opset=opset)
    assert run_node("QuantizeLinear", reals(3), torch.tensor(0.1), opset=10).dtype == torch.uint8


@narrow_types
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_each_index_of_an_axis_has_its_scale(dtype: torch.dtype, axis: int) -> None:
    x, size = reals(3, 4, 5) * 20, (3, 4, 5)[axis]
    for opset in versions(dtype, 13):
        steps = (scales(size) * 10, wholes(dtype, size))
        assert_agrees_with_onnxruntime("QuantizeLinear", x, *steps, opset=opset, axis=axis)
        quantised = wholes(dtype, 3, 4, 5)
        assert_agrees_with_onnxruntime("DequantizeLinear", quantised, *steps, opset=opset, axis=axis)


def test_a_vector_has_one_axis_whatever_the_default_says() -> None:
    quantised = run_node("QuantizeLinear", torch.tensor([1.0, 1.0]), torch.tensor([0.5, 0.25]), opset=13)
    assert quantised.tolist() == [2, 4]


@narrow_types
def test_each_block_along_an_axis_has_its_scale(dtype: torch.dtype) -> None:
    """The last of three blocks of three is cut off."""
    steps = (scales(3, 3, 5) * 10, wholes(dtype, 3, 3, 5))
    for opset in versions(dtype, 21):
        attributes = {"axis": 1, "block_size": 3}
        assert_agrees_with_onnxruntime("QuantizeLinear", reals(3, 7, 5) * 20, *steps, opset=opset, **attributes)
        quantised = wholes(dtype, 3, 7, 5)
        assert_agrees_with_onnxruntime("DequantizeLinear", quantised, *steps, opset=opset, **attributes)


@narrow_types
def test_an_attribute_names_the_type_where_no_zero_point_does(dtype: torch.dtype) -> None:
    x, scale = reals(3, 4) * 20, torch.tensor(0.37)
    for opset in versions(dtype, 21):
        assert_agrees_with_onnxruntime("QuantizeLinear", x, scale, opset=opset, output_dtype=element_type(dtype))


def test_the_division_is_as_precise_as_the_scale_unless_told_otherwise() -> None:
    """1001 / 0.3 is 3336.7; in half precision the quotient is a multiple of 2."""
    x, scale, zero_point = torch.tensor([1001.0]).half(), torch.tensor(0.3).half(), torch.tensor(0).short()
    assert run_node("QuantizeLinear", x, scale, zero_point, opset=23).item() % 2 == 0
    exact = round(1001.0 / scale.item())
    single = {"precision": element_type(torch.float32)}
    assert run_node("QuantizeLinear", x, scale, zero_point, opset=23, **single).item() == exact
    assert run_node("QuantizeLinear", x, scale.float(), zero_point, opset=23).item() == exact


def test_halves_go_to_the_even_number_before_the_zero_point_is_added() -> None:
    x, zero_point = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9]), torch.tensor(3, dtype=torch.uint8)
    quantised = run_node("QuantizeLinear", x, torch.tensor(1.0), zero_point, opset=10)
    assert quantised.tolist() == [3, 5, 5, 3, 1, 255, 0]


@pytest.mark.parametrize("dtype", [*OLDEST, torch.int32], ids=str)
def test_one_scale_stands_for_all_again(dtype: torch.dtype) -> None:
    for opset in versions(dtype):
        for x in (wholes(dtype, 3, 4, 5), wholes(dtype)):
            assert_agrees_with_onnxruntime("DequantizeLinear", x, torch.tensor(0.37), opset=opset)
            if dtype is not torch.int32:
                assert_agrees_with_onnxruntime("DequantizeLinear", x, torch.tensor(0.37), wholes(dtype), opset=opset)
    small = (wholes(torch.int8, 9).int() // 4).to(dtype)
    half = {"output_dtype": element_type(torch.float16)}
    assert_agrees_with_onnxruntime("DequantizeLinear", small, torch.tensor(0.37).half(), opset=max(versions(dtype)))
    assert_agrees_with_onnxruntime("DequantizeLinear", small, torch.tensor(0.37), opset=23, **half)


def test_a_dequantised_number_is_linear_in_its_scale() -> None:
    by_axis = [wholes(torch.uint8, 3, 4), scales(3), wholes(torch.uint8, 3)]
    check_every_derivative(node_program("DequantizeLinear", *by_axis, opset=13, axis=0), by_axis)
    in_blocks = [wholes(torch.int8, 3, 7), scales(3, 3)]
    check_every_derivative(node_program("DequantizeLinear", *in_blocks, opset=21, axis=1, block_size=3), in_blocks)


@pytest.mark.parametrize(
    "x", [reals(3, 4), reals(5).abs() + 1, -reals(5).abs() - 1, reals(1), torch.zeros(3)], ids=range(5)
)
def test_a_scale_is_found_from_the_range(x: Tensor) -> None:
    assert_agrees_with_onnxruntime("DynamicQuantizeLinear", x, opset=11, outputs=3)
    if x.any():
        check_every_derivative(node_program("DynamicQuantizeLinear", x, opset=11, outputs=3), [x])


@pairs_of_eight_bits
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,))],
)
def test_matrices_of_integers_multiply(
    left: torch.dtype, right: torch.dtype, a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> None:
    a, b = factors(left, right, a_shape, b_shape)
    assert_agrees_with_onnxruntime("MatMulInteger", a, b, opset=10)
    assert_agrees_with_onnxruntime("MatMulInteger", a, b, wholes(left), wholes(right), opset=10)
    assert_agrees_with_onnxruntime("MatMulInteger", a, b, None, wholes(right, 1), opset=10)
    if len(b_shape) == 2:
        assert_agrees_with_onnxruntime("MatMulInteger", a, b, wholes(left), wholes(right, 5), opset=10)


@pairs_that_onnxruntime_multiplies
@pytest.mark.parametrize(("a_shape", "b_shape"), [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5))])
def test_quantised_matrices_multiply(
    left: torch.dtype, right: torch.dtype, a_shape: tuple[int, ...], b_shape: tuple[int, ...]
) -> None:
    whole, b = factors(left, right, a_shape, b_shape)
    a, y = (whole, torch.tensor(0.021), wholes(left)), (torch.tensor(0.0917), wholes(left))
    one = (torch.tensor(0.013), wholes(right))
    assert_agrees_with_onnxruntime("QLinearMatMul", *a, b, *one, *y, opset=10)
    if len(b_shape) == 2:
        assert_agrees_with_onnxruntime("QLinearMatMul", *a, b, scales(5), wholes(right, 5), *y, opset=21)


def test_each_row_may_have_its_zero_point() -> None:
    """Which onnxruntime does not compute."""
    a, b, rows = wholes(torch.uint8, 3, 4), wholes(torch.int8, 4, 5), wholes(torch.uint8, 3)
    wanted = (a.int() - rows.int().unsqueeze(1)) @ b.int()
    assert torch.equal(run_node("MatMulInteger", a, b, rows, opset=10), wanted)
    row_scales, y_scale = scales(3), torch.tensor(0.5)
    real = (a.double() - rows.double().unsqueeze(1)) * row_scales.double().unsqueeze(1) @ b.double() * 0.01
    zero = torch.tensor(0, dtype=torch.int8)
    operands = (a, row_scales, rows, b, torch.tensor(0.01), zero, y_scale, zero)
    result = run_node("QLinearMatMul", *operands, opset=21)
    # Half a step of rounding, and what float32 scales lose.
    torch.testing.assert_close(result.double(), (real / 0.5).clamp(-128, 127), rtol=0, atol=0.5001)


@pairs_of_eight_bits
@geometries
def test_images_of_integers_are_convolved(left: torch.dtype, right: torch.dtype, geometry: dict[str, object]) -> None:
    x, weight = factors(left, right, (2, 4, 7, 6), (6, 4, 3, 2))
    assert_agrees_with_onnxruntime("ConvInteger", x, weight, opset=10, **geometry)
    assert_agrees_with_onnxruntime("ConvInteger", x, weight, wholes(left), wholes(right), opset=10, **geometry)
    assert_agrees_with_onnxruntime("ConvInteger", x, weight[:, :2], wholes(left), opset=10, group=2, **geometry)


@pairs_that_onnxruntime_multiplies
@geometries
def test_quantised_images_are_convolved(left: torch.dtype, right: torch.dtype, geometry: dict[str, object]) -> None:
    whole, weight = factors(left, right, (2, 4, 7, 6), (6, 4, 3, 2))
    x, y = (whole, torch.tensor(0.0213), wholes(left)), (torch.tensor(0.0917), wholes(left))
    one, bias = (torch.tensor(0.0131), wholes(right)), wholes(torch.int16, 6).int()
    assert_agrees_with_onnxruntime("QLinearConv", *x, weight, *one, *y, opset=10, **geometry)
    channels = (scales(6), torch.zeros(6, dtype=right))
    assert_agrees_with_onnxruntime("QLinearConv", *x, weight, *channels, *y, bias, opset=10, **geometry)


def test_each_output_channel_may_have_its_zero_point() -> None:
    x, weight, channels = wholes(torch.uint8, 1, 2, 5), wholes(torch.int8, 3, 2, 2), wholes(torch.int8, 3)
    wanted = torch.conv1d(x.double(), (weight.double() - channels.double().reshape(3, 1, 1))).int()
    assert torch.equal(run_node("ConvInteger", x, weight, None, channels, opset=10), wanted)


def test_padding_is_a_real_zero() -> None:
    """The zero point, not the integer 0."""
    x, weight = torch.full((1, 1, 2), 7, dtype=torch.uint8), torch.ones(1, 1, 3, dtype=torch.uint8)
    zero_point = torch.tensor(7, dtype=torch.uint8)
    assert run_node("ConvInteger", x, weight, zero_point, opset=10, pads=[1, 1]).tolist() == [[[0, 0]]]


def test_rounded_results_pass_no_derivative_on() -> None:
    x, scale = reals(3).requires_grad_(), torch.tensor(0.1, requires_grad=True)
    program = node_program("QuantizeLinear", x, scale, opset=10)
    assert not program({}, x, scale)[0].requires_grad
