"""The natural size of a change of the input."""

from jaxtyping import Float
from torch import Tensor


def spread(x: Float[Tensor, "n *shape"]) -> float:
    """δ_x/√d = ((1/nd) Σ_i ‖x_i − x̄‖²)^½: the root-mean-square deviation of a feature from its mean over the probe set.

    Noise of relative size s has s·δ_x/√d per feature, hence ‖noise‖ ≈ s·δ_x: s = 1 moves a sample about as far as
    samples lie from their mean. In input units; zero for a single sample or for equal ones.
    """
    return float((x - x.mean(dim=0)).double().square().mean().sqrt())
