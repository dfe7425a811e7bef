"""Whether the most important features stay the most important ones."""

import math
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eigengate.attribution.metrics.metric import Metric, Pairs
from eigengate.contract import Direction

SHARE = 0.1


@final
class TopKOverlap(Metric):
    """|T ∩ T'|/k ∈ [0, 1], T the k = ⌈d/10⌉ features of largest magnitude.

    Ties go to the earlier feature, in both maps alike. Two zero maps score 1, one zero map 0.
    Source: Ghorbani, Abid & Zou 2019, section 2.
    """

    name: ClassVar[str] = "top_k_overlap"
    title: ClassVar[str] = "Share of the most important features that stay so"
    direction: ClassVar[Direction] = "higher_is_stabler"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        a, b = pairs.clean_map, pairs.noisy_map
        k = math.ceil(SHARE * a.shape[1])
        shared = (_largest(a, k) & _largest(b, k)).sum(dim=1).to(a.dtype) / k
        one_is_zero = (a == 0).all(dim=1) ^ (b == 0).all(dim=1)
        return shared.masked_fill(one_is_zero, 0.0)


def _largest(a: Float[Tensor, "k d"], k: int) -> Bool[Tensor, "k d"]:
    # A stable sort rather than topk, whose choice among ties is nobody's promise.
    order = a.abs().argsort(dim=1, descending=True, stable=True)[:, :k]
    return torch.zeros_like(a, dtype=torch.bool).scatter(1, order, True)
