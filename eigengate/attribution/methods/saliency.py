"""The plain input gradient."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.gradient import gradient
from eigengate.attribution.method import AttributionMethod, Axiom, BatchFunction


@final
@dataclass(frozen=True)
class Saliency(AttributionMethod):
    """J_f(x)ᵀ t, signed: the row of the input Jacobian that belongs to the explained output.

    Signed, because a feature that turns from supporting a class to opposing it has changed, which absolute values
    hide. Source: Simonyan, Vedaldi & Zisserman 2014, section 3.
    """

    name: ClassVar[str] = "saliency"
    axioms: ClassVar[frozenset[Axiom]] = frozenset({Axiom.DUMMY, Axiom.LINEARITY, Axiom.IMPLEMENTATION_INVARIANCE})

    @classmethod
    def for_probe(cls, x: Float[Tensor, "n *shape"], generator: torch.Generator) -> "Saliency":
        return cls()

    def attribute(
        self, f: BatchFunction, x: Float[Tensor, "k *shape"], target: Float[Tensor, "k C"]
    ) -> Float[Tensor, "k *shape"]:
        return gradient(f, x, target)
