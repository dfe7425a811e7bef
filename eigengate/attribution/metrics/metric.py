"""What a comparison of two explanations is."""

import abc
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.discovery import Discoverable
from eigengate.contract import Direction


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """k samples and their perturbed copies, row by row: inputs and maps flattened, and outputs, all in float64."""

    clean_x: Float[Tensor, "k d"]
    noisy_x: Float[Tensor, "k d"]
    clean_map: Float[Tensor, "k d"]
    noisy_map: Float[Tensor, "k d"]
    clean_f: Float[Tensor, "k C"]
    noisy_f: Float[Tensor, "k C"]


class Metric(Discoverable):
    """One finite number for each pair.

    An explanation that stays identically zero counts as unchanged, one that appears or vanishes as wholly changed.
    """

    title: ClassVar[str]
    direction: ClassVar[Direction]
    bounds: ClassVar[tuple[float, float]]
    needs_classes: ClassVar[bool] = False

    @abc.abstractmethod
    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        """The score of every pair."""
