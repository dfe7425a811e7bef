"""ONNX Runtime's matrix products: with transposes, factors, biases and activations fused in."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops._microsoft_fusions import fused_activation
from eigengate.loading.onnx.ops.activations import gelu
from eigengate.loading.onnx.ops.linear import general_matrix_product
from eigengate.loading.onnx.registry import operator


@operator("FusedMatMul", domain=MICROSOFT)
def fused_matrix_product(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Tensor:
    """alpha · A′ B′ with the broadcasting of ``MatMul``; a factor of one axis is a vector and is never transposed.

    ``transBatchA`` moves the first axis of A in front of the last, [m, batch, k] to [batch, m, k]; ``transA`` swaps
    the last two axes of what that gives. The same of B.
    """
    product = _arranged(a, transA, transBatchA) @ _arranged(b, transB, transBatchB)
    return product if alpha == 1.0 else alpha * product


def _arranged(x: Tensor, transposed: int, batch_transposed: int) -> Tensor:
    if x.ndim < 2:
        return x
    outer = x.movedim(0, -2) if batch_transposed else x
    return outer.mT if transposed else outer


@operator("TransposeMatMul", domain=MICROSOFT)
def transposed_matrix_product(a: Tensor, b: Tensor, *, alpha: float = 1.0, transA: int = 0, transB: int = 0) -> Tensor:
    """What ``FusedMatMul`` was called first."""
    result: Tensor = fused_matrix_product(a, b, alpha=alpha, transA=transA, transB=transB)
    return result


@operator("FusedGemm", domain=MICROSOFT)
def fused_general_matrix_product(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """φ(alpha · A′ B′ + beta · C): the standard's ``Gemm`` and then the activation of that name."""
    product = general_matrix_product(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    numbers = {"alpha": activation_alpha, "beta": activation_beta, "gamma": activation_gamma}
    given = {name: number for name, number in numbers.items() if number is not None}
    return fused_activation(activation)(product, given)


@operator("GemmFastGelu", domain=MICROSOFT)
def gelu_of_matrix_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``Gelu`` by its tanh approximation of X W + bias."""
    product = x @ weight
    result: Tensor = gelu(product if bias is None else product + bias, approximate="tanh")
    return result


@operator("Inverse", domain=MICROSOFT)
def inverse(x: Tensor) -> Tensor:
    """The inverse of every matrix in the last two axes; of half precision computed in float32."""
    wide: Tensor = torch.linalg.inv(x.to(torch.promote_types(x.dtype, torch.float32)))
    return wide.to(x.dtype)


@operator("CDist", domain=MICROSOFT)
def distances(a: Tensor, b: Tensor, *, metric: str = "sqeuclidean") -> Tensor:
    """Distances of every row of A [m, n] from every row of B [k, n], as [m, k]: ‖a - b‖² or ("euclidean") ‖a - b‖.

    A distance of zero has no derivative; here it is zero, as torch takes the norm's.
    """
    differences = a.unsqueeze(1) - b.unsqueeze(0)
    squares = torch.sum(differences * differences, -1)
    if metric == "sqeuclidean":
        return squares
    if metric != "euclidean":
        raise ValueError(f"unknown metric '{metric}'")
    apart = squares > 0
    return torch.where(apart, torch.sqrt(torch.where(apart, squares, 1.0)), 0.0)
