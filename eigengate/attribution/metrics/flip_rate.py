"""Whether the prediction itself survives."""

from typing import ClassVar, final

from jaxtyping import Bool, Float
from torch import Tensor

from eigengate.attribution.metrics.metric import Metric, Pairs
from eigengate.contract import Direction


@final
class FlipRate(Metric):
    """1 where the predicted class changes, else 0; of a single logit the class is its sign."""

    name: ClassVar[str] = "flip_rate"
    title: ClassVar[str] = "Share of perturbed inputs whose prediction changes"
    direction: ClassVar[Direction] = "lower_is_stabler"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs_classes: ClassVar[bool] = True

    def compare(self, pairs: Pairs) -> Float[Tensor, " k"]:
        return _flipped(pairs.clean_f, pairs.noisy_f).to(pairs.clean_f.dtype)


def _flipped(clean: Float[Tensor, "k C"], noisy: Float[Tensor, "k C"]) -> Bool[Tensor, " k"]:
    if clean.shape[1] == 1:
        return (clean[:, 0] > 0) != (noisy[:, 0] > 0)
    return clean.argmax(dim=1) != noisy.argmax(dim=1)
