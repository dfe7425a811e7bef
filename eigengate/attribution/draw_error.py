"""How far the random draws let a mean move."""

from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from eigengate.contract import Interval

LEVEL = 0.95


def draw_interval(scores: Float[Tensor, "n D"]) -> Interval | None:
    """95 % interval of the mean over samples i of the mean over draws j, the samples held fixed.

    Mean ± t·(Σ_i s_i²/D)^½/n with s_i² the variance over the draws of sample i, which are independent between samples
    and draws; degrees of freedom after Welch and Satterthwaite, (Σ s_i²)²/(Σ s_i⁴/(D−1)). None for a single draw,
    which says nothing about its error.
    """
    n, draws = scores.shape
    if draws < 2:
        return None
    mean, variances = float(scores.mean()), scores.var(dim=1)
    total = float(variances.sum())
    if total == 0:
        return Interval(low=mean, high=mean, level=LEVEL)
    freedom = total**2 / float((variances.square() / (draws - 1)).sum())
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * (total / draws) ** 0.5 / n
    return Interval(low=mean - half, high=mean + half, level=LEVEL)
