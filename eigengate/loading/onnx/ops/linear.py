"""Matrix products and what is made of them."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import modular
from eigengate.loading.onnx.registry import operator


@operator("MatMul")
def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices in the last two axes, batched over the others as numpy.matmul has it.

    A vector on the left is a row, one on the right a column, and that axis is absent from the result. Integers since
    version 9.
    """
    return modular(torch.matmul, a, b)


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
    """alpha A B + beta C of matrices, A and B transposed first where ``transA`` and ``transB`` say so.

    C is broadcast to the shape of the product; it may be absent since version 11. Integers since version 9.
    """
    left, right = a.mT if transA else a, b.mT if transB else b
    if not a.is_floating_point():
        return _of_integers(modular(torch.matmul, left, right), c, alpha, beta)
    if c is not None:
        return torch.addmm(c, left, right, beta=beta, alpha=alpha)
    product = left @ right
    return product if alpha == 1.0 else alpha * product


def _of_integers(product: Tensor, c: Tensor | None, alpha: float, beta: float) -> Tensor:
    if alpha == 1.0 and beta == 1.0:
        return product if c is None else modular(torch.add, product, c)
    scaled = alpha * product.double()
    return (scaled if c is None else scaled + beta * c.double()).to(product.dtype)


@operator("Einsum", since=12)
def einstein_sum(*operands: Tensor, equation: str) -> Tensor:
    """The sum of products that ``equation`` writes in Einstein's notation, as numpy.einsum has it.

    A letter that recurs within an operand takes its diagonal, an ellipsis stands for axes to broadcast over, and
    without an arrow the result has the letters that occur once, in the order of the alphabet.
    """
    text = equation.replace(" ", "")
    return modular(lambda *tensors: torch.einsum(text, *tensors), *operands)


@operator("Det", since=11)
def determinant(x: Tensor) -> Tensor:
    """The determinant of the square matrices in the last two axes."""
    return torch.det(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
