"""How far the probe set, taken as a sample, lets a number move.

Means are studentised in every resample: the mean of a skewed population and its standard error move together, and the
quantiles of their ratio know it, where percentiles of the mean alone cover a lognormal mean of 16 samples 87 % of the
time instead of 91 %. Smooth functionals take Student's interval of their influences, on the scale of the logarithm
where they are positive, which makes products and norms nearly symmetric.
"""

import math
import sys
from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from scipy.stats import norm, t
from torch import Tensor

from eigengate.contract import Interval

LEVEL: Final = 0.95
# Percentiles of 1000 draws wobble by about 3 % of the interval's width (Efron & Tibshirani 1993, section 13.3).
_RESAMPLES: Final = 1000
# Fewer samples have too few distinct resamples for their quantiles of t to settle.
_FEWEST: Final = 8


def bootstrap_mean_interval(values: Float[Tensor, " n"], *, generator: torch.Generator) -> Interval | None:
    """95 % bootstrap interval of the mean; None for fewer than two values.

    The bootstrap-t interval (Efron & Tibshirani 1993, chapter 12), or, where resamples often repeat one value and have
    no standard deviation to divide by (few samples, few distinct values), the expanded percentile interval.

    Args:
        values: One finite value per sample.
        generator: Draws the resamples, on the device of ``values``.
    """
    n = len(values)
    if n < 2:
        return None
    v = values.detach().double()
    draws = v[torch.randint(n, (_RESAMPLES, n), generator=generator, device=generator.device).to(v.device)].cpu()
    spread = draws.std(dim=1)
    if n < _FEWEST or float((spread == 0).double().mean()) > (1 - LEVEL) / 2:
        return _expanded_percentiles(draws.mean(dim=1), n)
    mean, scale = float(v.mean()), float(v.std())
    scaled = ((draws.mean(dim=1) - mean) / spread)[spread > 0]
    low, high = torch.quantile(scaled, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=scaled.dtype)).tolist()
    return Interval(low=mean - max(high, 0.0) * scale, high=mean - min(low, 0.0) * scale, level=LEVEL)


def _expanded_percentiles(means: Float[Tensor, " resamples"], n: int) -> Interval:
    """The plain percentile interval is too narrow for small n; its tail probability is replaced by Φ(−√(n/(n−1)) t).

    t = t_{0.975, n−1}, which makes it exact for normal data (Hesterberg 2015, section 5).
    """
    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf((1 + LEVEL) / 2, n - 1)))
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=means.dtype)).tolist()
    return Interval(low=low, high=high, level=LEVEL)


def jackknife_interval(functional: Callable[[Tensor], Tensor], n: int, *, device: torch.device) -> Interval | None:
    """95 % interval of a smooth functional of the sample weights by the infinitesimal jackknife; None where undefined.

    With T(w) at w = 1/n and influences I_i = ∂T/∂w_i − Σ_j w_j ∂T/∂w_j, the interval is
    T ± t_{0.975, n−1} (Σ I_i² / (n(n−1)))^½ (Efron 1982, chapter 6). Where T is a mean this is Student's interval.
    Resampling with duplicates would lower the rank of a kernel matrix; infinitesimal weights do not.

    Args:
        functional: Weights [n], float64, summing to one → a differentiable scalar.
        n: Number of samples.
        device: Where the weights live.
    """
    if n < 2:
        return None
    weights = torch.full((n,), 1.0 / n, dtype=torch.float64, device=device, requires_grad=True)
    value = functional(weights)
    (gradient,) = torch.autograd.grad(value, weights)
    return influence_interval(float(value.detach()), gradient - gradient.mean())


def log_jackknife_interval(functional: Callable[[Tensor], Tensor], n: int, *, device: torch.device) -> Interval | None:
    """The same for a positive functional, on the scale of its logarithm, so that both ends are positive."""
    logarithm = jackknife_interval(lambda weights: functional(weights).log(), n, device=device)
    if logarithm is None or logarithm.high > math.log(sys.float_info.max):
        return None
    return Interval(low=math.exp(logarithm.low), high=math.exp(logarithm.high), level=logarithm.level)


def influence_interval(value: float, influences: Float[Tensor, " n"]) -> Interval | None:
    """``value`` ± t_{0.975, n−1} (Σ I_i² / (n(n−1)))^½ for centred influences; None for non-finite ones or n < 2."""
    n = len(influences)
    if n < 2:
        return None
    stderr = float(influences.double().square().sum().div(n * (n - 1)).sqrt())
    if not (math.isfinite(value) and math.isfinite(stderr)):
        return None
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * stderr
    return Interval(low=value - half, high=value + half, level=LEVEL)


def wilson_interval(successes: int, n: int) -> Interval:
    """95 % interval of a proportion (Wilson 1927); unlike the bootstrap it has width where all or none succeed."""
    z = float(norm.ppf((1 + LEVEL) / 2))
    share, grown = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / grown
    half = z / grown * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half), level=LEVEL)
