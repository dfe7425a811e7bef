"""How similar explanations stay as the noise grows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class RobustnessCurve:
    """Scores of one method, by metric, for every sample, draw and noise size; metrics that do not apply are absent.

    ``zero_maps`` marks the samples whose clean map is identically zero, where stability means nothing.
    """

    method: str
    sizes: tuple[float, ...]
    scores: Mapping[str, Float[Tensor, "n D S"]]
    zero_maps: Bool[Tensor, " n"]

    def mean(self, metric: str) -> Float[Tensor, " S"]:
        """Means over samples and draws, one for each noise size."""
        return self.scores[metric].mean(dim=(0, 1))

    def area(self, metric: str) -> Float[Tensor, "n D"]:
        """Area under the scores over log(noise size) by the trapezoid rule, divided by the length of that axis.

        So it is a mean over noise sizes in which every factor of size counts alike, in the range of the metric.
        """
        axis = torch.tensor([math.log(size) for size in self.sizes], dtype=torch.float64)
        return torch.trapezoid(self.scores[metric], axis, dim=2) / (axis[-1] - axis[0])


def nearest(sizes: tuple[float, ...], size: float) -> int:
    """The place of the noise size that differs from ``size`` by the smallest factor."""
    return min(range(len(sizes)), key=lambda place: abs(math.log(sizes[place] / size)))
