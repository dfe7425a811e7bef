"""The gradient averaged over a neighbourhood."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.gradient import gradient
from eigengate.attribution.method import AttributionMethod, Axiom, BatchFunction
from eigengate.attribution.spread import spread

PAIRS = 8
LEVEL = 0.5


@final
@dataclass(frozen=True, eq=False)
class SmoothGrad(AttributionMethod):
    """(1/M) Σ_m J_f(x + ξ_m)ᵀ t over M = 16 noise vectors ξ_m, normal with half the spread of the probe data.

    The ξ_m are drawn once and used for every input, clean or perturbed (common random numbers): the map is then one
    fixed function of x and its robustness is that of the explanation, not of the dice. They come in pairs ±ξ, which
    cancels every odd order of the noise, so that the map of a quadratic function is its exact gradient.
    Source: Smilkov et al. 2017, equation 2; they find noise of 10-20 % of the range of values best, on images about
    half the root-mean-square deviation that ``spread`` measures.
    """

    noise: Float[Tensor, "M *shape"]

    name: ClassVar[str] = "smoothgrad"
    axioms: ClassVar[frozenset[Axiom]] = frozenset({Axiom.DUMMY, Axiom.LINEARITY, Axiom.IMPLEMENTATION_INVARIANCE})

    @classmethod
    def for_probe(cls, x: Float[Tensor, "n *shape"], generator: torch.Generator) -> "SmoothGrad":
        half = torch.randn(PAIRS, *x.shape[1:], generator=generator, dtype=x.dtype, device=x.device)
        return cls(LEVEL * spread(x) * torch.cat([half, -half]))

    def attribute(
        self, f: BatchFunction, x: Float[Tensor, "k *shape"], target: Float[Tensor, "k C"]
    ) -> Float[Tensor, "k *shape"]:
        total = torch.zeros_like(x)
        for noise in self.noise:
            total = total + gradient(f, x + noise, target)
        return total / len(self.noise)
