"""Whether the explanations of the network's predictions survive noise."""

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.attribution import (
    AttributionMethod,
    Neighbourhood,
    RobustnessCurve,
    draw_interval,
    load_all,
    robustness,
    rows_within,
    spread,
)
from eigengate.attribution.metrics import load_all as load_metrics
from eigengate.contract import AttributionReport, Coverage, Interval, Measurement, Outcome, Quantity
from eigengate.diagnostics._attribution_view import drawn_curve, worst_samples
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import Metric, optional_floats, summarize
from eigengate.estimators.resampling import bootstrap_mean_interval

_HEADLINE = Metric("attribution.robustness", "Mean cosine over noise sizes and methods", direction="higher_is_stabler")


@final
class AttributionRobustness(Diagnostic):
    """Similarity of the explanation of x_i + s·(δ_x/√d)·z with that of x_i, z normal, over relative noise sizes s.

    Every number is the area under a curve over log s, divided by the length of that axis (0.01 … 0.2 by default): a
    mean over noise sizes in which each factor counts alike. ``attribution.robustness`` ∈ [0, 1] is that of the cosine,
    averaged over the methods; 1 = no explanation moves. Were the maps on average to turn against their clean selves,
    the negative area would be reported as 0. Numerical error: the noise draws; sampling error: bootstrap over samples.

    Of a linear network saliency and SmoothGrad score 1. Scaling the logits changes nothing.
    """

    name: ClassVar[str] = "attribution"
    quantity: ClassVar[Quantity | None] = "attribution"
    title: ClassVar[str] = "Attribution robustness"
    reference: ClassVar[str] = "Eigengate's own definition; metrics after Ghorbani, Abid & Zou 2019, section 2"
    metrics: ClassVar[tuple[Metric, ...]] = (
        _HEADLINE,
        *(
            Metric(f"attribution.{method}.{score}", f"{cls.title} ({method})", direction=cls.direction)
            for method in load_all()
            for score, cls in load_metrics().items()
        ),
    )

    def measure(self, context: Context) -> Findings:
        if spread(context.subject.x) == 0:
            reason = "the probe samples do not differ, so that noise has no natural size"
            return Findings(tuple(metric.missing("not_applicable", reason) for metric in self.metrics))
        methods, neighbourhood = _methods(context), _neighbourhood(context)
        curves = _curves(context, methods, neighbourhood)
        sound = [curve for curve in curves if _flaw(curve) is None]
        return Findings(
            measurements=(
                _headline(curves, context),
                *(_comparison(metric, curves, context) for metric in self.metrics[1:]),
            ),
            per_sample=_per_sample(curves, context.subject.n),
            coverage=_coverage(context),
            attribution=AttributionReport(
                curves=tuple(
                    drawn_curve(curve, context.generator(f"attribution/band/{curve.method}")) for curve in sound
                ),
                samples=worst_samples(context.attributed, methods, sound, neighbourhood),
            ),
        )


def _methods(context: Context) -> list[AttributionMethod]:
    known = load_all()
    return [
        known[name].for_probe(context.subject.x, context.generator(f"attribution/{name}"))
        for name in context.config.attribution.methods
    ]


def _neighbourhood(context: Context) -> Neighbourhood:
    wanted = context.config.attribution
    return Neighbourhood(
        x=context.attributed.x,
        sizes=wanted.noise_sizes,
        draws=wanted.draws,
        stream=lambda copy: context.generator(f"attribution/noise/{copy}"),
        population=context.subject.x,
    )


def _curves(
    context: Context, methods: Sequence[AttributionMethod], neighbourhood: Neighbourhood
) -> list[RobustnessCurve]:
    rows = rows_within(context.subject, context.memory_budget_bytes)
    return [
        robustness(context.attributed, method, neighbourhood, rows_per_batch=rows, on_progress=context.on_progress)
        for method in methods
    ]


def _headline(curves: Sequence[RobustnessCurve], context: Context) -> Measurement:
    areas = torch.stack([curve.area("cosine") for curve in curves]).mean(dim=0)
    return _measurement(_HEADLINE, areas, curves, (0.0, 1.0), context)


def _comparison(metric: Metric, curves: Sequence[RobustnessCurve], context: Context) -> Measurement:
    _, method, score = metric.name.split(".")
    curve = next((curve for curve in curves if curve.method == method), None)
    if curve is None:
        return metric.missing("not_applicable", f"{method} is not among attribution.methods")
    if score not in curve.scores:
        return metric.missing("not_applicable", "a regression has no class that could change")
    return _measurement(metric, curve.area(score), [curve], load_metrics()[score].bounds, context)


def _measurement(
    metric: Metric,
    areas: Float[Tensor, "n D"],
    curves: Sequence[RobustnessCurve],
    bounds: tuple[float, float],
    context: Context,
) -> Measurement:
    """The mean of the areas with both kinds of error, or a null with the flaw of a curve that it is made of."""
    wanted = context.config.attribution
    method = f"gaussian noise, {wanted.draws} draws, area over log noise size"
    flaws = [flaw for flaw in map(_flaw, curves) if flaw is not None]
    if flaws:
        return metric.missing(*flaws[0], method)
    samples = areas.mean(dim=1)
    measurement = metric.estimated(
        min(max(float(samples.mean()), bounds[0]), bounds[1]),
        _within(draw_interval(areas), bounds),
        method=method,
        sampling=_within(bootstrap_mean_interval(samples, generator=context.generator(metric.name)), bounds),
        detail=_detail(curves),
    )
    # Draws that agree to the last digit, such as no flip in any, make a narrow interval but no proof.
    return measurement.model_copy(update={"summary": summarize(samples), "exact": False})


def _flaw(curve: RobustnessCurve) -> tuple[Outcome, str] | None:
    """Why a curve means nothing, if it does."""
    cosine = curve.scores["cosine"]
    broken = int(cosine.isnan().any(dim=2).any(dim=1).sum())
    if broken:
        return "non_finite", f"{curve.method}: {broken} of {len(cosine)} samples have a map with NaN or infinity"
    if bool(curve.zero_maps.all()) and bool((cosine == 1).all()):
        return "not_applicable", f"{curve.method}: every map is identically zero, so there is nothing to be robust"
    return None


def _detail(curves: Sequence[RobustnessCurve]) -> str:
    sizes = curves[0].sizes
    text = f"mean over relative noise sizes {sizes[0]:g} to {sizes[-1]:g} on a log axis"
    zero = {curve.method: int(curve.zero_maps.sum()) for curve in curves if bool(curve.zero_maps.any())}
    counts = ", ".join(f"{count} of {len(curves[0].zero_maps)} samples ({method})" for method, count in zero.items())
    return f"{text}; clean map identically zero in {counts}" if zero else text


def _within(interval: Interval | None, bounds: tuple[float, float]) -> Interval | None:
    if interval is None:
        return None
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in (interval.low, interval.high))
    return Interval(low=low, high=high, level=interval.level)


def _coverage(context: Context) -> tuple[Coverage, ...]:
    n, attributed = context.subject.n, context.attributed.n
    if attributed == n:
        return ()
    note = f"the first {attributed} of {n} samples, as the budget allows; raise time_budget_s for more"
    return (Coverage(subject="attribution", analysed=True, note=note),)


def _per_sample(curves: Sequence[RobustnessCurve], samples: int) -> dict[str, tuple[float | None, ...]]:
    """By name, None for samples that were not attributed."""
    areas = {_HEADLINE.name: torch.stack([curve.area("cosine") for curve in curves]).mean(dim=0)}
    for curve in curves:
        areas |= {f"attribution.{curve.method}.{score}": curve.area(score) for score in curve.scores}
    found = {name: optional_floats(area.mean(dim=1)) for name, area in areas.items()}
    return {name: values + (None,) * (samples - len(values)) for name, values in found.items()}
