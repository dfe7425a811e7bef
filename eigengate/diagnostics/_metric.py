"""A named quantity of a report, and how numbers become its measurements."""

import math
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Direction, ErrorBars, Interval, Measurement, Outcome, Summary
from eigengate.estimators.curvature import Bounded
from eigengate.estimators.resampling import bootstrap_mean_interval

NO_SAMPLING: Final = "no sampling interval: the value depends on the number of samples itself"


@final
@dataclass(frozen=True)
class Metric:
    """Name, unit and direction of a measurement, and the sentence that explains it."""

    name: str
    title: str
    unit: str = ""
    direction: Direction = "neutral"

    def missing(self, outcome: Outcome, detail: str, method: str = "") -> Measurement:
        """A null with its reason."""
        return Measurement(
            name=self.name,
            value=None,
            unit=self.unit,
            direction=self.direction,
            outcome=outcome,
            method=method,
            detail=detail,
        )

    def exactly(
        self, value: float, *, method: str, sampling: Interval | None = None, detail: str | None = None
    ) -> Measurement:
        """A value without numerical error, rounding aside: its numerical interval has no width."""
        numerical = Interval(low=value, high=value, level=1.0) if math.isfinite(value) else None
        return self.estimated(value, numerical, method=method, sampling=sampling, detail=detail)

    def estimated(
        self,
        value: float,
        numerical: Interval | None,
        *,
        method: str,
        sampling: Interval | None = None,
        outcome: Outcome = "ok",
        detail: str | None = None,
    ) -> Measurement:
        """A value with its numerical interval; NaN and infinity become a null with outcome ``non_finite``."""
        if not math.isfinite(value):
            return self.missing("non_finite", detail or f"the computation gave {value}", method)
        return Measurement(
            name=self.name,
            value=value,
            unit=self.unit,
            direction=self.direction,
            outcome=outcome,
            method=method,
            exact=numerical is not None and numerical.low == numerical.high,
            error=ErrorBars(numerical=numerical, sampling=sampling),
            detail=detail,
        )

    def bounded(self, number: Bounded, *, sampling: Interval | None = None, detail: str | None = None) -> Measurement:
        """A number that knows its method and its numerical interval."""
        if number.outcome == "not_applicable":
            return self.missing("not_applicable", detail or "undefined for a zero spectrum", number.method)
        return self.estimated(
            number.value,
            number.interval,
            method=number.method,
            sampling=sampling,
            outcome=number.outcome,
            detail=detail,
        )

    def per_sample(
        self,
        values: Float[Tensor, " n"],
        *,
        method: str,
        generator: torch.Generator,
        sampling: Interval | None = None,
        outcomes: tuple[Outcome, ...] | None = None,
        numerical: Interval | None = None,
    ) -> Measurement:
        """The mean over the samples with a value each, its spread, and a 95 % bootstrap interval.

        Args:
            values: One value per sample, NaN where it is undefined.
            method: How each was computed.
            generator: Draws the resamples.
            sampling: Takes the place of the bootstrap where the quantity is no plain mean.
            outcomes: Why a value is NaN, per sample; ``not_applicable`` if not given. One ``non_finite`` sample makes
                the whole measurement ``non_finite``; samples where it is not applicable are left out and counted.
            numerical: Of the mean, where the values are estimates; they are exact if it is not given.
        """
        defined = values[~values.isnan()]
        if (outcomes is not None and "non_finite" in outcomes) or bool(defined.isinf().any()):
            return self.missing("non_finite", "a sample's spectrum is not finite", method)
        if not len(defined):
            return self.missing("not_applicable", "undefined for every probe sample", method)
        left_out = len(values) - len(defined)
        summary = summarize(defined)
        return Measurement(
            name=self.name,
            value=summary.mean,
            unit=self.unit,
            direction=self.direction,
            method=method,
            exact=numerical is None,
            error=ErrorBars(
                numerical=numerical or Interval(low=summary.mean, high=summary.mean, level=1.0),
                sampling=sampling or bootstrap_mean_interval(defined, generator=generator),
            ),
            summary=summary,
            detail=f"undefined for {left_out} of {len(values)} samples, which are left out" if left_out else None,
        )


def summarize(values: Float[Tensor, " n"]) -> Summary:
    """Mean, standard deviation (n − 1) and quantiles of finite values."""
    v = values.detach().double().cpu()
    p05, median, p95 = (float(q) for q in torch.quantile(v, torch.tensor([0.05, 0.5, 0.95], dtype=v.dtype)))
    return Summary(
        mean=float(v.mean()),
        std=float(v.std()) if len(v) > 1 else 0.0,
        min=float(v.min()),
        p05=p05,
        median=median,
        p95=p95,
        max=float(v.max()),
        n=len(v),
    )


def optional_floats(values: Float[Tensor, " n"]) -> tuple[float | None, ...]:
    """Per-sample values as the report carries them: None for NaN and infinity."""
    return tuple(v if math.isfinite(v) else None for v in values.tolist())
