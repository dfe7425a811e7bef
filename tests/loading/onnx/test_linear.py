"""Matrix products of integers and determinants, at every version."""

import pytest
import torch

from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import assert_agrees_with_onnxruntime, node_program, run_node

INTEGERS = [torch.int32, torch.int64, torch.uint32, torch.uint64]


def numbers(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    size = int(torch.tensor(shape).prod())
    return torch.arange(size).reshape(shape).to(dtype)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("opset", [9, 13])
def test_matrices_of_integers_have_exact_products(dtype: torch.dtype, opset: int) -> None:
    a, b, c = numbers(2, 3, dtype=dtype), numbers(3, 4, dtype=dtype), numbers(4, dtype=dtype)
    product = a.to(torch.int64) @ b.to(torch.int64)
    found = run_node("MatMul", a, b, opset=opset)
    assert found.dtype == dtype
    assert torch.equal(found.to(torch.int64), product)
    affine = run_node("Gemm", a, b, c, opset=opset)
    assert affine.dtype == dtype
    assert torch.equal(affine.to(torch.int64), product + c.to(torch.int64))
    scaled = run_node("Gemm", a, b, c, opset=opset, alpha=0.5, beta=2.0)
    exact = 0.5 * product.double() + 2 * c.double()
    assert torch.equal(scaled.to(torch.int64), exact.to(torch.int64))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.uint16, torch.int16, *INTEGERS], ids=str)
def test_sums_of_products_of_integers_are_exact(dtype: torch.dtype) -> None:
    a, b = numbers(2, 3, dtype=dtype), numbers(3, 2, dtype=dtype)
    found = run_node("Einsum", a, b, opset=12, equation="ij,jk->ik")
    assert found.dtype == dtype
    assert torch.equal(found.to(torch.int64), a.to(torch.int64) @ b.to(torch.int64))


@pytest.mark.parametrize("opset", [11, 22])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 3, 4, 4)], ids=str)
def test_determinants_of_stacks_are_those_of_onnxruntime(opset: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert_agrees_with_onnxruntime("Det", x, opset=opset)
    check_every_derivative(node_program("Det", x, opset=opset), [x])


@pytest.mark.parametrize("rank", [1, 2])
def test_singular_matrices_have_finite_derivatives_of_the_determinant(rank: int) -> None:
    """Those are minors, and of rank one all of them are zero."""
    rows = torch.randn(3, rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = rows @ torch.randn(rank, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    program = node_program("Det", x, opset=22)
    slope = torch.func.grad(lambda value: program({}, value)[0])(x)
    minors = torch.tensor(
        [[(-1) ** (i + j) * float(_minor(x, i, j)) for j in range(3)] for i in range(3)], dtype=torch.float64
    )
    torch.testing.assert_close(slope, minors, rtol=1e-9, atol=1e-12)  # rounding of float64


def _minor(x: torch.Tensor, row: int, column: int) -> torch.Tensor:
    rows, columns = ([k for k in range(3) if k != left_out] for left_out in (row, column))
    (a, b), (c, d) = x[rows][:, columns]
    return a * d - b * c


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_determinants_of_half_precision_are_rounded_once(dtype: torch.dtype) -> None:
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = run_node("Det", x, opset=22)
    assert y.dtype == dtype
    assert torch.equal(y, torch.det(x.float()).to(dtype))
