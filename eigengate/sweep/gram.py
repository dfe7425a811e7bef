"""Products of Jacobian rows."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.sweep.transposed_product import transposed_product

_FLOATS_AT_ONCE: Final = 2**23
_BLOCKS: Final = 4


def row_products(A: Float[Tensor, "a p"], B: Float[Tensor, "b p"], dtype: torch.dtype) -> Float[Tensor, "a b"]:
    """A Bᵀ in float64, a few columns at a time; what those give is computed in ``dtype``.

    A Gram matrix squares the condition number: in float32 it would lose every singular value below 3e-4 σ_1. The
    product of two float32 numbers is exact in float64, so with ``dtype`` float64 nothing is lost beyond the rounding of
    the rows.
    """
    columns = max(1, _FLOATS_AT_ONCE // max(A.shape[0], B.shape[0]))
    total = torch.zeros(A.shape[0], B.shape[0], dtype=torch.float64, device=A.device)
    for first in range(0, A.shape[1], columns):
        piece = A[:, first : first + columns].to(dtype)
        total += symmetric(piece) if B is A else transposed_product(piece, B[:, first : first + columns].to(dtype))
    return total


def symmetric(A: Float[Tensor, "a p"]) -> Float[Tensor, "a a"]:
    """A Aᵀ; of the half above the diagonal only the blocks that reach it are computed."""
    a = A.shape[0]
    if a * A.shape[1] < 2**18:
        return A @ A.mT
    product, size = A.new_empty(a, a), -(-a // _BLOCKS)
    for first in range(0, a, size):
        block = transposed_product(A[first : first + size], A[: first + size])
        product[first : first + size, : first + size] = block
        product[: first + size, first : first + size] = block.mT
    return product
