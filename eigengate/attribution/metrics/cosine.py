"""The angle between two maps."""

from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from eigengate.attribution.metrics.metric import Metric, Pairs
from eigengate.contract import Direction


@final
class Cosine(Metric):
    """⟨a, b⟩/(‖a‖‖b‖) ∈ [−1, 1]; 1 if both maps are zero, 0 if one is."""

    name: ClassVar[str] = "cosine"
    title: ClassVar[str] = "Cosine between clean and perturbed attribution"
    direction: ClassVar[Direction] = "higher_is_stabler"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        return cosine(pairs.clean_map, pairs.noisy_map)


def cosine(a: Float[Tensor, "k d"], b: Float[Tensor, "k d"]) -> Float[Tensor, " k"]:
    """Cosines row by row, as 1 − ½‖a/‖a‖ − b/‖b‖‖²: exactly 1 for equal rows and accurate near 1, where maps live."""
    chord = (_unit(a) - _unit(b)).square().sum(dim=1)
    one_is_zero = (a == 0).all(dim=1) ^ (b == 0).all(dim=1)
    return (1 - chord / 2).clamp(-1, 1).masked_fill(one_is_zero, 0.0)


def _unit(a: Tensor) -> Tensor:
    # The largest entry first, so that squares of tiny gradients do not underflow.
    a = a / a.abs().amax(dim=1, keepdim=True).clamp_min(_TINY)
    return a / a.square().sum(dim=1, keepdim=True).sqrt().clamp_min(_TINY)


_TINY = 2.0**-1022
