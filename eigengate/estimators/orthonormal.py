"""Orthonormal bases that survive rounding."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators import LinearOperator

# Rounding of a product and its projections, in units of eps times the matrix' norm.
ROUNDING: Final = 16


def rounding(A: LinearOperator) -> float:
    """Relative error of a product with A and of its projections."""
    return A.signature.precision or ROUNDING * torch.finfo(A.dtype).eps


def project_out(basis: Float[Tensor, "N m"], W: Float[Tensor, "N k"]) -> tuple[Tensor, Tensor]:
    """(W − Q QᵀW, QᵀW) for an orthonormal basis Q; twice, which is enough (Parlett 1998, section 6.9)."""
    first = basis.mT @ W
    W = W - basis @ first
    second = basis.mT @ W
    return W - basis @ second, first + second


def orthonormal_range(
    W: Float[Tensor, "N k"], basis: Float[Tensor, "N m"], *, floor: float
) -> tuple[Float[Tensor, "N r"], Float[Tensor, "r k"]]:
    """Q_next and B with W ≈ Q_next B, Q_next orthonormal and orthogonal to the basis.

    Args:
        W: Columns, orthogonal to the basis up to rounding.
        basis: Orthonormal columns.
        floor: Directions of W with a singular value not above it are dropped; all of them where W is not finite.
    """
    if not bool(torch.isfinite(W).all()):
        return W[:, :0], torch.zeros(0, W.shape[1], dtype=W.dtype, device=W.device)
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    kept = floor < S
    directions, _ = project_out(basis, U[:, kept])
    # What is left of a kept direction is close to itself, so this QR changes signs at most.
    Q, R = torch.linalg.qr(directions)
    return Q, R @ (S[kept].unsqueeze(1) * Vh[kept])
