"""Whether the features keep their order."""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.metrics.cosine import cosine
from eigengate.attribution.metrics.metric import Metric, Pairs
from eigengate.contract import Direction


@final
class Spearman(Metric):
    """Rank correlation of the signed maps ∈ [−1, 1], ties at their average rank; constant maps count as zero maps do.

    Source: Spearman 1904; for attributions Ghorbani, Abid & Zou 2019, section 2.
    """

    name: ClassVar[str] = "spearman"
    title: ClassVar[str] = "Rank correlation of clean and perturbed attribution"
    direction: ClassVar[Direction] = "higher_is_stabler"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        return cosine(_centred_ranks(pairs.clean_map), _centred_ranks(pairs.noisy_map))


def _centred_ranks(a: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """Average ranks minus their mean: half of (how many are smaller) − (how many are larger); exactly 0 if all tie."""
    values = a.sort(dim=1).values
    smaller = torch.searchsorted(values, a)
    not_larger = torch.searchsorted(values, a, right=True)
    return (smaller + not_larger - a.shape[1]).to(a.dtype) / 2
