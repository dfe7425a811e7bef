"""How outputs react to inputs."""

from typing import ClassVar, Final, final

from eigengate.contract import Quantity, Spectrum
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._logarithms import log_gain
from eigengate.diagnostics._matrix_free import krylov_method
from eigengate.diagnostics._metric import Metric
from eigengate.diagnostics._per_sample import (
    estimated_measurements,
    estimated_sample_spectra,
    sample_measurements,
    sample_spectra,
    unless_converged,
)
from eigengate.diagnostics._summaries import singular_metrics
from eigengate.estimators import Spectra, singular_summaries
from eigengate.estimators.sample_spectra import EstimatedSpectra

_METHOD: Final = "C backward passes, eigenvalues of the C×C Gram in float64"
_SUMMARIES: Final = singular_metrics("input_jacobian", per="input")
_FORWARD: Final = Metric("index.forward", "Worst-case forward gain in natural units", "log10", "lower_is_stabler")
_TYPICAL: Final = Metric("index.forward_typical", "Typical forward gain in natural units", "log10", "lower_is_stabler")


@final
class InputJacobian(Diagnostic):
    """Singular values of J_i = ∂f(x_i)/∂x ∈ R^{C×d} for every probe sample.

    For f(x) = Wx all J_i = W; for W with orthonormal rows every singular value is 1 and the entropy ln C.
    ``index.forward`` = mean log10(σ_1(J_i) δ_x/δ_f), ``index.forward_typical`` with ‖J_i‖_F/√d for σ_1.
    """

    name: ClassVar[str] = "input_jacobian"
    quantity: ClassVar[Quantity | None] = "input_jacobian"
    title: ClassVar[str] = "Input Jacobian"
    reference: ClassVar[str] = "Katende, arXiv:2602.01136; Roy & Vetterli 2007 (effective rank)"
    metrics: ClassVar[tuple[Metric, ...]] = (*_SUMMARIES.values(), _FORWARD, _TYPICAL)

    def measure(self, context: Context) -> Findings:
        if context.matrix_free is not None and context.subject.x.is_floating_point():
            return _estimated(context, context.matrix_free.inputs)
        inputs = context.sweep.inputs
        if inputs is None:
            return self.nothing("not_applicable", "the analysed input is not a floating point tensor")
        spectra = Spectra.of_grams(inputs.grams, columns=inputs.dimension, dtype=context.subject.dtype)
        summaries = singular_summaries(spectra)
        measurements, values = sample_measurements(
            _SUMMARIES, summaries, spectra.outcomes, context=context, method=_METHOD
        )
        gains = {_FORWARD: summaries["operator_norm"], _TYPICAL: summaries["typical_gain"]}
        for metric, gain in gains.items():
            measurement, terms = log_gain(metric, gain, context, per_input_spread=True, factor=1.0, method=_METHOD)
            measurements.append(measurement)
            values[metric.name] = terms
        drawn: tuple[Spectrum, ...] = sample_spectra("input_jacobian", spectra)
        return Findings.of(measurements, spectra=drawn, per_sample=values)


def _estimated(context: Context, spectra: EstimatedSpectra) -> Findings:
    """From products with J_i and J_iᵀ."""
    method = krylov_method(spectra, "J_i")
    measurements, values = estimated_measurements(_SUMMARIES, spectra, context=context, method=method)
    known = spectra.summaries()
    for metric, gain in ((_FORWARD, known["operator_norm"]), (_TYPICAL, known["typical_gain"])):
        measurement, terms = log_gain(
            metric, gain.value, context, per_input_spread=True, factor=1.0, method=method, estimates=gain
        )
        measurements.append(unless_converged(measurement, spectra) if metric is _FORWARD else measurement)
        values[metric.name] = terms
    return Findings.of(measurements, spectra=estimated_sample_spectra("input_jacobian", spectra), per_sample=values)
