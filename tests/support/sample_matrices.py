"""Matrices M_i, one per sample, of which only products are shown."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from eigengate.operators.sample_grams import SampleGrams
from tests.support.spectra import orthogonal


@final
@dataclass(frozen=True)
class DenseGrams(SampleGrams):
    """M_i M_iᵀ of written out M [m, C, d]."""

    M: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.M.shape[0], self.M.shape[1]

    @property
    def columns(self) -> int:
        return self.M.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        return self.M.dtype

    def products(self, Y: Tensor) -> Tensor:
        return (self.M @ (self.M.mT @ Y.to(self.dtype))).double()


def with_singular_values(*rows: Tensor, columns: int) -> DenseGrams:
    """One matrix for each row of singular values, its singular vectors random."""
    parts = []
    for i, sigma in enumerate(rows):
        C = len(sigma)
        U, V = orthogonal(C, seed=2 * i), orthogonal(columns, seed=2 * i + 1)
        parts.append((U * sigma) @ V[:C])
    return DenseGrams(torch.stack(parts))
