"""Quadrature rules of several depths for several probe vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True)
class QuadratureRules:
    """Rules of r depths for each of s probe vectors, float64; the weights of each sum to the same."""

    nodes: Float[Tensor, "r s k"]
    weights: Float[Tensor, "r s k"]

    @property
    def shares(self) -> Float[Tensor, " nodes"]:
        """The weights of the mean over all rules."""
        return self.weights.flatten() / (self.weights.shape[0] * self.weights.shape[1])

    def each(self) -> Iterator["QuadratureRules"]:
        """Depth by depth."""
        for nodes, weights in zip(torch.split(self.nodes, 1), torch.split(self.weights, 1), strict=True):
            yield QuadratureRules(nodes, weights)

    def within(self, low: float, high: float) -> "QuadratureRules":
        """With nodes beyond the ends moved to them."""
        return QuadratureRules(self.nodes.clamp(low, high), self.weights)

    @classmethod
    def none(cls, probes: int, device: torch.device) -> "QuadratureRules":
        """For a space of no dimensions."""
        nothing = torch.zeros(1, probes, 1, dtype=torch.float64, device=device)
        return cls(nothing, nothing)

    @classmethod
    def joined(cls, parts: Sequence["QuadratureRules"], *, total: int) -> "QuadratureRules":
        """Those of several groups of probe vectors, their weights summing to ``total`` instead of one."""
        size = max(part.nodes.shape[2] for part in parts)

        def padded(rules: Tensor) -> Tensor:
            return torch.nn.functional.pad(rules, (0, size - rules.shape[2]))

        weights = torch.cat([padded(part.weights) for part in parts], dim=1)
        return cls(torch.cat([padded(part.nodes) for part in parts], dim=1), total * weights)
