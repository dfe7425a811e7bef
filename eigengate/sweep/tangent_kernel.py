"""The tangent kernel of the whole probe set, tile by tile."""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.parameter_space import ParameterSpace
from eigengate.operators.subject import Subject

_FULL_SHARE: Final = 4  # the full kernel may take a quarter of the memory budget


@final
@dataclass(frozen=True)
class TangentKernel:
    """Θ = G Gᵀ by what is read from it, all float64, in plain units and in units of the tensors' norms (G T).

    Attributes:
        blocks: G_i G_iᵀ [n, C, C], the diagonal blocks of Θ.
        traced: K_ij = ⟨G_i, G_j⟩_F [n, n], the class-traced kernel.
        scaled_blocks: (G_i T)(G_i T)ᵀ.
        scaled_traced: K_T.
        full: Θ [nC, nC], None where it does not fit into the memory budget.
        dimension: P.
        products: The coarsest type in which products of gradients were formed; their sums are float64.
    """

    blocks: Float[Tensor, "n C C"]
    traced: Float[Tensor, "n n"]
    scaled_blocks: Float[Tensor, "n C C"]
    scaled_traced: Float[Tensor, "n n"]
    full: Float[Tensor, "nC nC"] | None
    dimension: int
    products: torch.dtype = torch.float64

    @classmethod
    def empty(cls, subject: Subject, outputs: int, *, memory_budget_bytes: int) -> "TangentKernel":
        """Zeros to add to; ``full`` only if it fits."""
        n, rows = subject.n, subject.n * outputs

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=subject.x.device)

        return cls(
            blocks=zeros(n, outputs, outputs),
            traced=zeros(n, n),
            scaled_blocks=zeros(n, outputs, outputs),
            scaled_traced=zeros(n, n),
            full=zeros(rows, rows) if rows * rows * 8 <= memory_budget_bytes // _FULL_SHARE else None,
            dimension=ParameterSpace.of(subject.params).dimension,
        )

    def add(self, tile: Float[Tensor, "a C b C"], rows: Tensor, others: Tensor, *, scale: float) -> None:
        """Add one tensor's products of two sample tiles, and their mirror image, wherever they belong.

        ``scale`` is what they weigh in the scaled kernel; ``rows is others`` marks a tile on the diagonal.
        """
        a, C, b, _ = tile.shape
        mirrored = others is not rows
        traced = torch.einsum("icjc->ij", tile)
        for target, weight in ((self.traced, 1.0), (self.scaled_traced, scale)):
            target[rows.unsqueeze(1), others] += weight * traced
            if mirrored:
                target[others.unsqueeze(1), rows] += weight * traced.mT
        if not mirrored:
            blocks = torch.einsum("icid->icd", tile)
            self.blocks[rows] += blocks
            self.scaled_blocks[rows] += scale * blocks
        if self.full is not None:
            p, q = int(rows[0]) * C, int(others[0]) * C
            flat = tile.reshape(a * C, b * C)
            self.full[p : p + a * C, q : q + b * C] += flat
            if mirrored:
                self.full[q : q + b * C, p : p + a * C] += flat.mT
