"""How outputs react to parameters."""

from typing import ClassVar, Final, final

from eigengate.contract import Quantity
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._logarithms import log_gain
from eigengate.diagnostics._matrix_free import MatrixFree, krylov_method
from eigengate.diagnostics._metric import Metric
from eigengate.diagnostics._per_sample import (
    estimated_measurements,
    estimated_sample_spectra,
    sample_measurements,
    sample_spectra,
    unless_converged,
)
from eigengate.diagnostics._summaries import singular_metrics
from eigengate.errors import BudgetExceededError
from eigengate.estimators import Spectra, singular_summaries

_METHOD: Final = "per-sample gradients, eigenvalues of the C×C kernel blocks in float64"
_SUMMARIES: Final = singular_metrics("parameter_jacobian", per="parameter")
_RELATIVE_NORM: Final = Metric(
    "parameter_jacobian.relative_operator_norm", "Largest gain σ₁(GT) per relative change", "output", "lower_is_stabler"
)
_RELATIVE_FROBENIUS: Final = Metric(
    "parameter_jacobian.relative_frobenius_norm",
    "‖GT‖_F per relative change",
    "output",
    "lower_is_stabler",
)
_WORST: Final = Metric("index.parameter", "Worst-case parameter gain in natural units", "log10", "lower_is_stabler")
_TYPICAL: Final = Metric(
    "index.parameter_typical", "Typical parameter gain in natural units", "log10", "lower_is_stabler"
)


@final
class ParameterJacobian(Diagnostic):
    """Singular values of G_i = ∂f(x_i)/∂θ ∈ R^{C×P} for every probe sample, and of G_i T.

    T measures each parameter in units of its tensor's norm, so that G_i T does not change under f-preserving rescalings
    of layers. ``index.parameter`` = mean log10(σ_1(G_i T)/δ_f), ``index.parameter_typical`` with ‖G_i T‖_F/√P for σ_1.
    """

    name: ClassVar[str] = "parameter_jacobian"
    quantity: ClassVar[Quantity | None] = "parameter_jacobian"
    title: ClassVar[str] = "Parameter Jacobian"
    reference: ClassVar[str] = "Katende, arXiv:2602.01136; Roy & Vetterli 2007 (effective rank)"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *_SUMMARIES.values(),
        _RELATIVE_NORM,
        _RELATIVE_FROBENIUS,
        _WORST,
        _TYPICAL,
    )

    def measure(self, context: Context) -> Findings:
        if context.matrix_free is not None and context.subject.params:
            return _estimated(context, context.matrix_free)
        try:
            kernel = context.kernel
        except BudgetExceededError as error:
            return self.nothing("out_of_budget", error.detail)
        if kernel is None:
            return self.nothing("not_applicable", "the network has no trainable parameters")
        P, dtype = kernel.dimension, context.subject.dtype
        spectra = Spectra.of_grams(kernel.blocks, columns=P, dtype=dtype, products=kernel.products)
        scaled = Spectra.of_grams(kernel.scaled_blocks, columns=P, dtype=dtype, products=kernel.products)
        measurements, values = sample_measurements(
            _SUMMARIES, singular_summaries(spectra), spectra.outcomes, context=context, method=_METHOD
        )
        norm, frobenius = scaled.largest.sqrt(), scaled.total.sqrt()
        metrics = {"norm": _RELATIVE_NORM, "frobenius": _RELATIVE_FROBENIUS}
        relative = {"norm": norm, "frobenius": frobenius}
        more, more_values = sample_measurements(metrics, relative, scaled.outcomes, context=context, method=_METHOD)
        for metric, gain, factor in ((_WORST, norm, 1.0), (_TYPICAL, frobenius, P**-0.5)):
            measurement, terms = log_gain(metric, gain, context, per_input_spread=False, factor=factor, method=_METHOD)
            more.append(measurement)
            more_values[metric.name] = terms
        return Findings.of(
            [*measurements, *more],
            spectra=sample_spectra("parameter_jacobian", spectra),
            per_sample=values | more_values,
        )


def _estimated(context: Context, products: MatrixFree) -> Findings:
    """From products with G_i, with G_i T, and their adjoints."""
    plain, scaled = products.parameters, products.scaled_parameters
    measurements, values = estimated_measurements(
        _SUMMARIES, plain, context=context, method=krylov_method(plain, "G_i")
    )
    method, P, known = krylov_method(scaled, "G_i T"), plain.columns, scaled.summaries()
    relative = {"operator_norm": _RELATIVE_NORM, "frobenius_norm": _RELATIVE_FROBENIUS}
    more, more_values = estimated_measurements(relative, scaled, context=context, method=method)
    for metric, summary, factor in ((_WORST, "operator_norm", 1.0), (_TYPICAL, "frobenius_norm", P**-0.5)):
        gain = known[summary]
        measurement, terms = log_gain(
            metric, gain.value, context, per_input_spread=False, factor=factor, method=method, estimates=gain
        )
        more.append(unless_converged(measurement, scaled) if metric is _WORST else measurement)
        more_values[metric.name] = terms
    return Findings.of(
        [*measurements, *more],
        spectra=estimated_sample_spectra("parameter_jacobian", plain),
        per_sample=values | more_values,
    )
