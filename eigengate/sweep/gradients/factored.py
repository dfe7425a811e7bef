"""Gradients that are sums of outer products, as those of every matrix and every convolution."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.sweep.gradients.gradients import Gradients
from eigengate.sweep.gram import row_products
from eigengate.sweep.transposed_product import transposed_product

Route = Literal["written out", "places", "single place"]
_FLOATS_AT_ONCE: Final = 2**22


@final
@dataclass(frozen=True)
class FactoredGradients(Gradients):
    """∂f_c(x_i)/∂W = Σ_l b_ic[:, l] a_i[:, l]ᵀ for every group g, W of shape [g, rows, columns].

    Attributes:
        cotangents: b, what is pulled back to the g × rows results at the places l.
        activations: a, what the g × columns operands are there.
        swapped: Whether W lies as [g, columns, rows].
    """

    cotangents: Float[Tensor, "n C g rows l"]
    activations: Float[Tensor, "n g columns l"]
    swapped: bool = False

    @property
    def samples(self) -> int:
        return self.cotangents.shape[0]

    @property
    def outputs(self) -> int:
        return self.cotangents.shape[1]

    def select(self, rows: Tensor) -> "FactoredGradients":
        return FactoredGradients(self.cotangents[rows], self.activations[rows], self.swapped)

    def dense(self) -> Float[Tensor, "n C P_l"]:
        written = self.cotangents @ self.activations.unsqueeze(1).mT
        return (written.mT if self.swapped else written).flatten(2)

    def multiplications(self, samples: int) -> int:
        return min(self.costs(samples).values())

    @classmethod
    def joined(cls, parts: Sequence["FactoredGradients"]) -> "FactoredGradients | None":
        if len({part.swapped for part in parts}) > 1:
            return None
        cotangents = torch.cat([part.cotangents for part in parts], dim=-1)
        return cls(cotangents, torch.cat([part.activations for part in parts], dim=-1), parts[0].swapped)

    def costs(self, samples: int) -> dict[Route, int]:
        """Multiplications that the products with ``samples`` other samples take, by route."""
        n, C, g, rows, places = self.cotangents.shape
        columns = self.activations.shape[2]
        pairs = n * samples
        written = n * C * rows * columns * places + pairs * C * C * rows * columns
        if places == 1:
            return {"written out": g * written, "single place": g * pairs * (columns + C * C * rows)}
        carried = pairs * places**2 * columns + pairs * C * rows * places**2 + pairs * C * C * rows * places
        return {"written out": g * written, "places": g * carried}

    def _products(self, other: "FactoredGradients", dtype: torch.dtype) -> Float[Tensor, "nC mC"]:
        costs = self.costs(other.samples)
        route = min(costs, key=costs.__getitem__)
        routes = {
            "written out": self._written_out,
            "places": self._by_places,
            "single place": self._by_single_place,
        }
        total = torch.zeros(
            self.samples * self.outputs,
            other.samples * self.outputs,
            dtype=torch.float64,
            device=self.activations.device,
        )
        for group in range(self.activations.shape[1]):
            total += routes[route](other, group, dtype)
        return total

    def _written_out(self, other: "FactoredGradients", group: int, dtype: torch.dtype) -> Tensor:
        total: Tensor | float = 0.0
        for rows in self._pieces(group):
            left = self._piece(group, rows)
            total = total + row_products(left, left if other is self else other._piece(group, rows), dtype)
        assert isinstance(total, Tensor)
        return total

    def _piece(self, group: int, rows: slice) -> Float[Tensor, "nC p"]:
        """Some rows of W written out for every sample and output."""
        b = self.cotangents[:, :, group, rows].flatten(1, 2)
        pairs = zip(b, self.activations[:, group], strict=True)
        written = [transposed_product(cotangents, a).reshape(self.outputs, -1) for cotangents, a in pairs]
        return torch.cat(written)

    def _pieces(self, group: int) -> Iterator[slice]:
        rows = self.cotangents.shape[3]
        at_once = max(1, _FLOATS_AT_ONCE // (self.samples * self.outputs * self.activations.shape[2]))
        return (slice(first, first + at_once) for first in range(0, rows, at_once))

    def _by_places(self, other: "FactoredGradients", group: int, dtype: torch.dtype) -> Tensor:
        """Σ_lm (a_i[:, l]·a_j[:, m]) (b_ic[:, l]·b_jc'[:, m]): overlaps of activations first, then b_ic carried to m.

        Where both are the same samples, a sample meets only itself and those behind it.
        """
        n, C, m = self.samples, self.outputs, other.samples
        a, b = self.activations[:, group].to(dtype), self.cotangents[:, :, group].to(dtype)
        a_other, b_other = other.activations[:, group].to(dtype), other.cotangents[:, :, group].to(dtype)
        result = torch.empty(n, C, m, C, dtype=dtype, device=a.device)
        for i in range(n):
            first = i if other is self else 0
            overlaps = transposed_product(a_other[first:].mT.flatten(0, 1), a[i].mT)
            carried = transposed_product(b[i].flatten(0, 1), overlaps)
            carried = carried.reshape(C, -1, m - first, other.cotangents.shape[-1])
            products = carried.permute(2, 0, 1, 3).flatten(2) @ b_other[first:].flatten(2).mT
            result[i, :, first:] = products.movedim(0, 1)
            if other is self:
                result[first:, :, i] = products.mT
        return result.reshape(n * C, m * C)

    def _by_single_place(self, other: "FactoredGradients", group: int, dtype: torch.dtype) -> Tensor:
        """(a_i·a_j) (b_ic·b_jc') where there is no sum over places."""
        a, b = self.activations[:, group].flatten(1), self.cotangents[:, :, group].flatten(0, 1).flatten(1)
        if other is self:
            overlaps, alike = row_products(a, a, dtype), row_products(b, b, dtype)
        else:
            overlaps = row_products(a, other.activations[:, group].flatten(1), dtype)
            alike = row_products(b, other.cotangents[:, :, group].flatten(0, 1).flatten(1), dtype)
        C = self.outputs
        return alike * overlaps.repeat_interleave(C, 0).repeat_interleave(C, 1)
