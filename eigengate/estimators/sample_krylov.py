"""Block Krylov spaces of many positive semidefinite matrices at once."""

from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.estimators.orthonormal import ROUNDING
from eigengate.operators.sample_grams import SampleGrams


@final
@dataclass(frozen=True)
class SampleKrylov:
    """Orthonormal bases Z_i ∈ R^{C×k} with their products A_i Z_i, float64.

    Grown by its own last products this is block Golub-Kahan bidiagonalisation of M_i, A_i = M_i M_iᵀ, seen from the
    side of its C rows, with full reorthogonalisation.

    Attributes:
        grams: The A_i.
        Z: The bases.
        AZ: Their products; zero for a matrix that is not finite.
        finite: Which matrices have given finite products.
        newest: How many columns came last.
    """

    grams: SampleGrams
    Z: Float[Tensor, "m C k"]
    AZ: Float[Tensor, "m C k"]
    finite: Tensor
    newest: int = 0

    @classmethod
    def empty(cls, grams: SampleGrams, device: torch.device) -> "SampleKrylov":
        nothing = torch.zeros(*grams.shape, 0, dtype=torch.float64, device=device)
        return cls(grams, nothing, nothing, torch.ones(grams.shape[0], dtype=torch.bool, device=device))

    @property
    def size(self) -> int:
        """k."""
        return self.Z.shape[2]

    @property
    def is_complete(self) -> bool:
        """Whether the bases span everything."""
        return self.size == self.Z.shape[1]

    @property
    def compressed(self) -> Float[Tensor, "m k k"]:
        """ZᵀAZ."""
        T = self.Z.mT @ self.AZ
        return (T + T.mT) / 2

    def spanning(self, W: Float[Tensor, "m C b"]) -> "SampleKrylov":
        """The bases with those directions of W that they lack, b of them unless that would be more than all."""
        columns = min(W.shape[2], self.Z.shape[1] - self.size)
        if columns == 0:
            return replace(self, newest=0)
        Q = W
        for _ in range(2):
            # Of a column that the basis spans already, only noise is left: it serves as well as any other direction.
            Q, _ = torch.linalg.qr(self._projected_out(self._projected_out(Q)))
        Q = Q[..., :columns]
        product = self.grams.products(Q)
        finite = torch.isfinite(product).flatten(1).all(dim=1)
        product = torch.where(finite[:, None, None], product, 0.0)
        return replace(
            self,
            Z=torch.cat([self.Z, Q], dim=2),
            AZ=torch.cat([self.AZ, product], dim=2),
            finite=self.finite & finite,
            newest=columns,
        )

    def grown(self) -> "SampleKrylov":
        """One step further: by the products of the newest columns."""
        return self.spanning(self.AZ[..., self.size - self.newest :])

    def largest(self) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """The largest Ritz values θ ≤ λ_1(A_i), and how far above them λ_1 can be.

        There is an eigenvalue within r = ‖A_i z − θz‖; where the others end below θ, at the second Ritz value and its
        residual, it is within r²/gap (Parlett 1998, section 11.7).
        """
        values, vectors = torch.linalg.eigh(self.compressed)
        values, y = values[:, -2:], vectors[..., -2:]
        residuals = torch.linalg.vector_norm(self.AZ @ y - self.Z @ (y * values.unsqueeze(1)), dim=1)
        theta, error = values[:, -1], residuals[:, -1]
        if values.shape[1] == 2:
            gap = theta - values[:, 0] - residuals[:, 0]
            error = torch.where(gap > error, error.square() / gap, error)
        return theta.clamp_min(0), error + ROUNDING * torch.finfo(self.grams.dtype).eps * theta.abs()

    def _projected_out(self, W: Tensor) -> Tensor:
        return W - self.Z @ (self.Z.mT @ W)
