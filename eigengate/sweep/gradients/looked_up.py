"""Gradients of a table of which every sample reads some rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from eigengate.sweep.gradients.gradients import Gradients


@final
@dataclass(frozen=True)
class LookedUpGradients(Gradients):
    """∂f_c(x_i)/∂W = Σ_t e_{r_it} b_ictᵀ, W a table [rows, width], r_it the row read at place t.

    Attributes:
        cotangents: b.
        places: r; a negative one is not learnt.
        size: Number of rows of the table.
    """

    cotangents: Float[Tensor, "n C t width"]
    places: Int[Tensor, "n t"]
    size: int

    @property
    def samples(self) -> int:
        return self.cotangents.shape[0]

    @property
    def outputs(self) -> int:
        return self.cotangents.shape[1]

    def select(self, rows: Tensor) -> "LookedUpGradients":
        return LookedUpGradients(self.cotangents[rows], self.places[rows], self.size)

    def dense(self) -> Float[Tensor, "n C P_l"]:
        n, C, _, width = self.cotangents.shape
        index = self.places.clamp_min(0)[:, None, :, None].expand_as(self.cotangents)
        table = self.cotangents.new_zeros(n, C, self.size, width)
        return table.scatter_add_(2, index, self._learnt()).flatten(2)

    def _products(self, other: "LookedUpGradients", dtype: torch.dtype) -> Float[Tensor, "nC mC"]:
        """Σ_tu [r_it = r_ju] ⟨b_ict, b_jc'u⟩: rows are first added up where a sample reads them more than once."""
        n, C, m = self.samples, self.outputs, other.samples
        left, right = self._learnt().to(dtype), other._learnt().to(dtype)
        result = torch.empty(n, C, m, C, dtype=dtype, device=left.device)
        for i in range(n):
            same = (self.places[i][:, None, None] == other.places[None]).to(dtype)
            gathered = torch.einsum("ctw,tju->jcuw", left[i], same)
            result[i] = torch.einsum("jcuw,jduw->cjd", gathered, right)
        return result.reshape(n * C, m * C)

    def multiplications(self, samples: int) -> int:
        n, C, places, width = self.cotangents.shape
        return n * samples * C * places * width * (places + C)

    @classmethod
    def joined(cls, parts: Sequence["LookedUpGradients"]) -> "LookedUpGradients":
        cotangents = torch.cat([part.cotangents for part in parts], dim=2)
        return cls(cotangents, torch.cat([part.places for part in parts], dim=1), parts[0].size)

    def _learnt(self) -> Tensor:
        return self.cotangents * (self.places >= 0)[:, None, :, None]
