"""Matrix products."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("MatMul")
def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@operator("Gemm", since=7)
def general_matrix_product(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    product = (a.mT if transA else a) @ (b.mT if transB else b)
    scaled = product if alpha == 1.0 else alpha * product
    if c is None:
        return scaled
    return scaled + (c if beta == 1.0 else beta * c)


@operator("Einsum", since=12)
def einstein_sum(*operands: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation.replace(" ", ""), *operands)


@operator("Det", since=11)
def determinant(x: Tensor) -> Tensor:
    return torch.det(x)
