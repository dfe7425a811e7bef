"""The curvature of the loss."""

import math
from dataclasses import replace
from typing import ClassVar, Final, final

from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Interval, Measurement, Quantity
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._layer_curvature import layer_curvatures
from eigengate.diagnostics._logarithms import LN10, log10_interval
from eigengate.diagnostics._metric import NO_SAMPLING, Metric
from eigengate.diagnostics._per_sample import eigenvalue_spectrum
from eigengate.estimators import influence_interval
from eigengate.estimators.curvature import Bounded
from eigengate.operators.sample_curvature import sample_curvatures

_UNIT: Final = "loss/parameter²"
_PER_SAMPLE: Final = "no sampling interval: it would need the trace of every sample's own Hessian"
_LAMBDA_MAX: Final = Metric("hessian.lambda_max", "Largest eigenvalue", _UNIT, "lower_is_stabler")
_LAMBDA_MIN: Final = Metric("hessian.lambda_min", "Smallest eigenvalue", _UNIT, "higher_is_stabler")
_TRACE: Final = Metric("hessian.trace", "Trace", _UNIT, "lower_is_stabler")
_NEGATIVE_MASS: Final = Metric("hessian.negative_mass", "Share of negative curvature", "", "lower_is_stabler")
_ENTROPY: Final = Metric("hessian.spectral_entropy", "Entropy of |λ|", "nats", "neutral")
_STEP: Final = Metric("hessian.max_stable_step", "Largest stable step 2/λ_max", "parameter²/loss", "higher_is_stabler")
_RELATIVE_MAX: Final = Metric(
    "hessian.relative_lambda_max", "Largest eigenvalue of THT, per squared relative change", "loss", "lower_is_stabler"
)
_RELATIVE_TRACE: Final = Metric(
    "hessian.relative_trace", "Trace of THT, per squared relative change", "loss", "lower_is_stabler"
)
_CURVATURE: Final = Metric("index.curvature", "Worst-case curvature in natural units", "log10", "lower_is_stabler")
_TYPICAL: Final = Metric("index.curvature_typical", "Typical curvature in natural units", "log10", "lower_is_stabler")


@final
class Hessian(Diagnostic):
    """Eigenvalues of H = ∇²_θ (1/n) Σ ℓ(f(x_i), y_i), and of T H T in units of the tensors' norms.

    ``negative_mass`` = Σ_{λ<−tol}|λ| / Σ|λ| with tol = √P·eps·max|λ|. All exact for small P. Else ends by Lanczos
    started from a Gauss-Newton eigenvector, masses by stochastic Lanczos quadrature, and the trace is the exact
    Gauss-Newton trace plus probes of the rest, tensor by tensor, where that rest is small; else Hutch++.
    On request ends and trace of every layer's diagonal block, too.
    ``index.curvature`` = log10(λ_max(THT)/(2ℓ_0)), ``index.curvature_typical`` = log10(tr(THT)/P/(2ℓ_0)).
    """

    name: ClassVar[str] = "hessian"
    quantity: ClassVar[Quantity | None] = "hessian"
    title: ClassVar[str] = "Loss Hessian"
    reference: ClassVar[str] = "Pearlmutter 1994; Ghorbani, Krishnan & Xiao 2019; Meyer et al. 2021 (Hutch++)"
    metrics: ClassVar[tuple[Metric, ...]] = (
        _LAMBDA_MAX,
        _LAMBDA_MIN,
        _TRACE,
        _NEGATIVE_MASS,
        _ENTROPY,
        _STEP,
        _RELATIVE_MAX,
        _RELATIVE_TRACE,
        _CURVATURE,
        _TYPICAL,
    )

    def measure(self, context: Context) -> Findings:
        if not context.subject.params:
            return self.nothing("not_applicable", "the network has no trainable parameters")
        plain = context.hessian
        if plain.lambda_max.value == 0 == plain.lambda_min.value:
            return self.nothing("not_applicable", "zero matrix")
        relative = context.relative_hessian
        along_top = _sampling(context, plain.lambda_max, plain.top)
        relative_top = _sampling(context, relative.lambda_max, context.units * relative.top.to(context.units))
        findings = Findings.of(
            [
                _LAMBDA_MAX.bounded(plain.lambda_max, sampling=along_top),
                _LAMBDA_MIN.bounded(plain.lambda_min, sampling=_sampling(context, plain.lambda_min, plain.bottom)),
                _TRACE.bounded(plain.trace, detail=_PER_SAMPLE),
                _NEGATIVE_MASS.bounded(plain.negative_mass, detail=NO_SAMPLING),
                _ENTROPY.bounded(plain.spectral_entropy, detail=NO_SAMPLING),
                _step(plain.lambda_max, along_top),
                _RELATIVE_MAX.bounded(relative.lambda_max, sampling=relative_top),
                _RELATIVE_TRACE.bounded(relative.trace, detail=_PER_SAMPLE),
                _component(_CURVATURE, context, relative.lambda_max, divisor=1, sampling=relative_top),
                _component(_TYPICAL, context, relative.trace, divisor=context.space.dimension, sampling=None),
            ],
            spectra=[eigenvalue_spectrum("hessian", plain.eigenvalues, complete=plain.complete)],
        )
        return replace(findings, layers=tuple(layer_curvatures(context)))


def _sampling(context: Context, eigenvalue: Bounded, direction: Float[Tensor, " P"]) -> Interval | None:
    """By the influences uᵀH_iu − λ of the samples on a simple eigenvalue, u its eigenvector."""
    curvatures = sample_curvatures(context.hessian_operator, direction)
    if curvatures is None or not math.isfinite(eigenvalue.value):
        return None
    return influence_interval(eigenvalue.value, curvatures - curvatures.mean())


def _step(lambda_max: Bounded, sampling: Interval | None) -> Measurement:
    if lambda_max.value <= 0:
        return _STEP.missing("not_applicable", f"λ_max = {lambda_max.value:.3g}: no direction limits the step")
    if lambda_max.interval is not None and lambda_max.interval.low <= 0:
        lambda_max = replace(lambda_max, interval=None)
    if sampling is not None and sampling.low > 0:
        sampling = Interval(low=2 / sampling.high, high=2 / sampling.low, level=sampling.level)
    else:
        sampling = None
    return _STEP.bounded(lambda_max.mapped(lambda value: 2 / value), sampling=sampling)


def _component(
    metric: Metric, context: Context, curvature: Bounded, *, divisor: int, sampling: Interval | None
) -> Measurement:
    """log10(curvature/divisor/(2ℓ_0)); the sampling interval by the delta method, ℓ_0 held fixed."""
    loss_unit = context.subject.loss.scale(context.subject.y, context.sweep.logits.shape[1])
    if not math.isfinite(curvature.value):
        return metric.missing("non_finite", "the curvature is not finite", curvature.method)
    if curvature.value <= 0 or loss_unit <= 0:
        reason = f"curvature {curvature.value:.3g}, loss unit ℓ_0 {loss_unit:.3g}: both must be positive"
        return metric.missing("not_applicable", reason, curvature.method)
    unit = 2 * loss_unit * divisor
    value = math.log10(curvature.value / unit)
    numerical = log10_interval(curvature.interval, unit)
    if sampling is not None:
        half = (sampling.high - sampling.low) / 2 / (curvature.value * LN10)
        sampling = Interval(low=value - half, high=value + half, level=sampling.level)
    return metric.estimated(value, numerical, method=curvature.method, sampling=sampling, outcome=curvature.outcome)
