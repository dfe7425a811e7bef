"""Gradients averaged along the way from nothing to the input."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.gradient import gradient
from eigengate.attribution.method import AttributionMethod, Axiom, BatchFunction


@final
@dataclass(frozen=True)
class IntegratedGradients(AttributionMethod):
    """x ∘ ∫₀¹ J_f(αx)ᵀ t dα: attributions from the zero baseline that add up to ⟨t, f(x) − f(0)⟩.

    The integral is a Gauss-Legendre rule of ``steps`` nodes: exact where the gradient is a polynomial of degree below
    2·steps along the way, of error O(1/steps) where it jumps, as in ReLU networks; ``completeness_gap`` tells.
    On a linear function the map is w ∘ x, so it moves with its input even there.
    Source: Sundararajan, Taly & Yan 2017, section 3.
    """

    steps: int = 16

    name: ClassVar[str] = "integrated_gradients"
    axioms: ClassVar[frozenset[Axiom]] = frozenset(Axiom)

    @classmethod
    def for_probe(cls, x: Float[Tensor, "n *shape"], generator: torch.Generator) -> "IntegratedGradients":
        return cls()

    def attribute(
        self, f: BatchFunction, x: Float[Tensor, "k *shape"], target: Float[Tensor, "k C"]
    ) -> Float[Tensor, "k *shape"]:
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)  # on [-1, 1]
        mean = torch.zeros_like(x)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            mean = mean + weight / 2 * gradient(f, (1 + node) / 2 * x, target)
        return x * mean


def completeness_gap(
    f: BatchFunction,
    x: Float[Tensor, "k *shape"],
    target: Float[Tensor, "k C"],
    attribution: Float[Tensor, "k *shape"],
) -> Float[Tensor, " k"]:
    """Σ map − ⟨t, f(x) − f(0)⟩ for every row: the quadrature error of integrated gradients, in units of the output."""
    explained = (target * (f(x) - f(torch.zeros_like(x)))).sum(dim=1)
    return attribution.flatten(1).sum(dim=1) - explained
