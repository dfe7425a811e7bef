"""Products of Jacobian rows."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

_FLOATS_AT_ONCE: Final = 2**23


def row_products(A: Float[Tensor, "a p"], B: Float[Tensor, "b p"]) -> Float[Tensor, "a b"]:
    """A Bᵀ in float64, a few columns at a time.

    A Gram matrix squares the condition number: in float32 it would lose every singular value below 3e-4 σ_1. The
    product of two float32 numbers is exact in float64, so here nothing is lost beyond the rounding of the rows.
    """
    columns = max(1, _FLOATS_AT_ONCE // max(A.shape[0], B.shape[0]))
    total = torch.zeros(A.shape[0], B.shape[0], dtype=torch.float64, device=A.device)
    for first in range(0, A.shape[1], columns):
        piece = A[:, first : first + columns].double()
        other = piece if B is A else B[:, first : first + columns].double()
        total.addmm_(piece, other.mT)
    return total
