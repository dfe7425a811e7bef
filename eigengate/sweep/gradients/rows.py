"""Gradients that are written out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.sweep.gradients.gradients import Gradients
from eigengate.sweep.gram import row_products


@final
@dataclass(frozen=True)
class GradientRows(Gradients):
    """One row per sample and output."""

    values: Float[Tensor, "n C P_l"]

    @property
    def samples(self) -> int:
        return self.values.shape[0]

    @property
    def outputs(self) -> int:
        return self.values.shape[1]

    def select(self, rows: Tensor) -> "GradientRows":
        return GradientRows(self.values[rows])

    def dense(self) -> Float[Tensor, "n C P_l"]:
        return self.values

    def _products(self, other: "GradientRows", dtype: torch.dtype) -> Float[Tensor, "nC mC"]:
        left = self.values.flatten(0, 1)
        return row_products(left, left if other is self else other.values.flatten(0, 1), dtype)

    def multiplications(self, samples: int) -> int:
        return self.values.numel() * samples * self.outputs

    @classmethod
    def joined(cls, parts: Sequence["GradientRows"]) -> "GradientRows":
        return cls(torch.stack([part.values for part in parts]).sum(dim=0))
