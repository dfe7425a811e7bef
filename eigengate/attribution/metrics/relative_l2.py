"""How far a map moves in units of its own size."""

from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.metrics.metric import Metric, Pairs
from eigengate.contract import Direction


@final
class RelativeL2(Metric):
    """‖a − b‖/max(‖a‖, ‖b‖) ∈ [0, 2]; 0 if both maps are zero, 1 if one is.

    The larger norm, not the clean one, in the denominator: a clean map that is nearly zero would otherwise decide
    every mean. It bounds the angle: 1 − cosine ≤ 2·(relative L2)².
    """

    name: ClassVar[str] = "relative_l2"
    title: ClassVar[str] = "Attribution change relative to the attribution's norm"
    direction: ClassVar[Direction] = "lower_is_stabler"
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        a, b = pairs.clean_map, pairs.noisy_map
        size = _norm(a).maximum(_norm(b))
        return _norm(a - b) / size.masked_fill(size == 0, 1.0)


def _norm(a: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    return a.square().sum(dim=1).sqrt()
