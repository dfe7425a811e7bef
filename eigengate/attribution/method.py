"""What an attribution method is."""

import abc
import enum
from collections.abc import Callable
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.discovery import Discoverable

BatchFunction = Callable[[Tensor], Tensor]


@final
class Axiom(enum.Enum):
    """What a method promises (Sundararajan, Taly & Yan 2017, sections 2 and 3); the tests hold it to its promises."""

    COMPLETENESS = "the map sums to the explained output minus its value at the baseline"
    SENSITIVITY = "a feature that alone changes the explained output from its value at the baseline is not mapped to 0"
    DUMMY = "a feature that the function does not use is mapped to 0"
    LINEARITY = "the map of a f + b g is a times the map of f plus b times that of g"
    IMPLEMENTATION_INVARIANCE = "functions with equal values have equal maps, however they are written"


class AttributionMethod(Discoverable):
    """A map of how much each input feature matters to ⟨t_i, f(x_i)⟩, one for each row of a batch.

    The cotangent t_i ∈ R^C says what is explained: e_c for class c, ones for the sum of regression outputs. A method
    is a deterministic function of its arguments: whatever it draws at random it draws once, in ``for_probe``, so that
    a map can only change because its input did.
    """

    axioms: ClassVar[frozenset[Axiom]]

    @classmethod
    @abc.abstractmethod
    def for_probe(cls, x: Float[Tensor, "n *shape"], generator: torch.Generator) -> "AttributionMethod":
        """The method with its defaults, baselines and noise scaled to the probe samples x."""

    @abc.abstractmethod
    def attribute(
        self, f: BatchFunction, x: Float[Tensor, "k *shape"], target: Float[Tensor, "k C"]
    ) -> Float[Tensor, "k *shape"]:
        """One signed map per row; f maps rows [k, ...] to [k, C], each row on its own."""
