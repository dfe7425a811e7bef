"""Per-sample components of the stability index: logarithms of dimensionless gains."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Interval, Measurement
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import Metric
from eigengate.estimators import jackknife_interval
from eigengate.estimators.sample_estimates import SampleEstimates

LN10 = math.log(10.0)


def log_gain(
    metric: Metric,
    gains: Float[Tensor, " n"],
    context: Context,
    *,
    per_input_spread: bool,
    factor: float,
    method: str,
    estimates: SampleEstimates | None = None,
) -> tuple[Measurement, Float[Tensor, " n"]]:
    """mean_i log10(factor · g_i · δ_x/δ_f), or without δ_x, and its n terms.

    One zero gain makes the mean undefined, so the measurement is null with that reason. The sampling interval is by the
    infinitesimal jackknife with δ_x and δ_f reweighted too. ``estimates`` are the gains with their numerical error,
    where they have one.
    """
    undefined = torch.full_like(gains, torch.nan)
    delta_x, delta_f = context.input_spread, context.output_spread
    if not bool(torch.isfinite(gains).all()):
        return metric.missing("non_finite", "a gain is not finite", method), undefined
    if delta_f.value == 0 or (per_input_spread and delta_x.value == 0):
        what = "outputs" if delta_f.value == 0 else "samples"
        return metric.missing("not_applicable", f"the probe {what} do not differ: no natural unit", method), undefined
    if zeros := int((gains == 0).sum()):
        reason = f"{zeros} of {len(gains)} samples have no gain at all, whose logarithm does not exist"
        return metric.missing("not_applicable", reason, method), undefined
    unit = factor / delta_f.value * (delta_x.value if per_input_spread else 1.0)
    terms = (gains * unit).log10()
    numerical = None if estimates is None else estimates.mapped(lambda gain: (gain * unit).log10()).mean_interval()
    logs = gains.log10()

    def functional(weights: Tensor) -> Tensor:
        spread = delta_x.squared(weights).log10() / 2 if per_input_spread else 0.0
        return weights @ logs + spread - delta_f.squared(weights).log10() / 2 + math.log10(factor)

    sampling = jackknife_interval(functional, len(gains), device=gains.device)
    generator = context.generator(f"bootstrap/{metric.name}")
    measurement = metric.per_sample(terms, method=method, generator=generator, sampling=sampling, numerical=numerical)
    return measurement, terms


def log10_interval(interval: Interval | None, unit: float) -> Interval | None:
    """The interval of log10(value/unit); None where it reaches zero."""
    if interval is None or interval.low <= 0:
        return None
    low, high = math.log10(interval.low / unit), math.log10(interval.high / unit)
    return Interval(low=low, high=high, level=interval.level)
