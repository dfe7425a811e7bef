"""What independent groups of probe vectors tell of a nonlinear summary of their mean."""

import math

import torch
from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from eigengate.contract import Interval
from eigengate.estimators.resampling import LEVEL


def with_each_left_out(groups: Float[Tensor, "g *shape"]) -> Float[Tensor, "h *shape"]:
    """The mean of g groups, then the g means without one of them; h = g + 1."""
    total, g = groups.sum(dim=0, keepdim=True), len(groups)
    return torch.cat([total / g, (total - groups) / (g - 1)])


def group_jackknife_interval(statistics: Float[Tensor, " h"]) -> Interval | None:
    """95 % interval from a statistic of ``with_each_left_out``: t_{0.975, g−1} jackknife standard errors.

    A nonlinear statistic of a noisy mean is biased by the order of its variance; the interval reaches from the
    statistic to what the jackknife makes of it without bias, and beyond both (Efron 1982, chapters 2 and 3).
    """
    value, left_out = float(statistics[0]), statistics[1:].double()
    g, mean = len(left_out), float(left_out.mean())
    unbiased = g * value - (g - 1) * mean
    half = float(t.ppf((1 + LEVEL) / 2, g - 1)) * float(((g - 1) / g * (left_out - mean).square().sum()).sqrt())
    if not math.isfinite(unbiased + half):
        return None
    return Interval(low=min(value, unbiased) - half, high=max(value, unbiased) + half, level=LEVEL)
