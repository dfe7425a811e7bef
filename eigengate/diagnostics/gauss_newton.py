"""The curvature that comes from the outputs alone."""

import math
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Measurement, Quantity
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import NO_SAMPLING, Metric
from eigengate.diagnostics._per_sample import eigenvalue_spectrum
from eigengate.diagnostics._summaries import kernel_metrics
from eigengate.errors import BudgetExceededError
from eigengate.estimators import Spectra, kernel_summaries, log_jackknife_interval
from eigengate.estimators.curvature import iterative_curvature, quadrature
from eigengate.estimators.weighted_kernel import kernel_functionals
from eigengate.operators import GaussNewtonOperator
from eigengate.operators.batches import batches

_UNIT: Final = "loss/parameter²"
_METHOD: Final = "eigenvalues of (1/n) L^½ Θ L^½ in float64"
_DENSE_GRAM: Final = 4096
_LAMBDA_MAX: Final = Metric("gauss_newton.lambda_max", "Largest eigenvalue", _UNIT, "lower_is_stabler")
_SUMMARIES: Final = {
    "operator_norm": _LAMBDA_MAX,
    **kernel_metrics(
        "gauss_newton.",
        "trace",
        "frobenius_norm",
        "stable_rank",
        "spectral_entropy",
        "effective_rank",
        "condition_number",
        unit=_UNIT,
    ),
}


@final
class GaussNewton(Diagnostic):
    """Eigenvalues of (1/n) Gᵀ L G, L = blockdiag of ∂²ℓ/∂f²: H without the curvature of the network itself.

    Where the full kernel Θ fits into memory they are those of (1/n) L^½ Θ L^½, exactly; else Lanczos, Hutch++ and
    quadrature work on products. For f linear in θ it is the Hessian.
    """

    name: ClassVar[str] = "gauss_newton"
    quantity: ClassVar[Quantity | None] = "gauss_newton"
    title: ClassVar[str] = "Gauss-Newton matrix"
    reference: ClassVar[str] = "Schraudolph 2002; Martens 2020"
    metrics: ClassVar[tuple[Metric, ...]] = tuple(_SUMMARIES.values())

    def measure(self, context: Context) -> Findings:
        if not context.subject.params:
            return self.nothing("not_applicable", "the network has no trainable parameters")
        try:
            gram = context.gauss_newton_gram
        except BudgetExceededError:
            gram = None
        if gram is None or len(gram) > _DENSE_GRAM:
            return _estimated(context)
        spectra = Spectra.of_grams(
            gram.unsqueeze(0),
            columns=context.space.dimension,
            dtype=context.subject.dtype,
            products=torch.float64 if context.kernel is None else context.kernel.products,
        )
        if (outcome := spectra.outcomes[0]) != "ok":
            return self.nothing(outcome, "zero matrix" if outcome == "not_applicable" else "not finite")
        return Findings.of(
            _exact(spectra, gram, context), spectra=[eigenvalue_spectrum("gauss_newton", spectra.energies[0])]
        )


def _exact(spectra: Spectra, gram: Float[Tensor, "nC nC"], context: Context) -> list[Measurement]:
    summaries, functionals = kernel_summaries(spectra), kernel_functionals(gram)
    return [
        metric.exactly(
            float(summaries[name]),
            method=_METHOD,
            sampling=log_jackknife_interval(functionals[name], context.subject.n, device=gram.device)
            if name in functionals
            else None,
            detail=None if name in functionals else NO_SAMPLING,
        )
        for name, metric in _SUMMARIES.items()
    ]


def _estimated(context: Context) -> Findings:
    """From products: what quadrature cannot tell is out of budget."""
    rows = batches(context.subject, memory_budget_bytes=context.memory_budget_bytes // 4)
    operator, generator = GaussNewtonOperator.of(context.subject, rows), context.generator("curvature/gauss_newton")
    curvature = iterative_curvature(
        operator,
        start=None,
        trace=context.gauss_newton_trace,
        memory_budget_bytes=context.memory_budget_bytes,
        quadrature=quadrature(
            operator,
            generator,
            context.watched("gauss_newton_quadrature"),
            context.plan.hessian,
            memory_budget_bytes=context.memory_budget_bytes,
        ),
        generator=generator,
        effort=context.plan.hessian,
    )
    known = {
        "operator_norm": curvature.lambda_max,
        "trace": curvature.trace,
        "spectral_entropy": curvature.spectral_entropy,
        "effective_rank": curvature.spectral_entropy.mapped(math.exp),
    }
    reason = "needs the full tangent kernel, which does not fit into the memory budget"
    measurements = [
        metric.bounded(known[name]) if name in known else metric.missing("out_of_budget", reason)
        for name, metric in _SUMMARIES.items()
    ]
    return Findings.of(
        measurements, spectra=[eigenvalue_spectrum("gauss_newton", curvature.eigenvalues[:1], complete=False)]
    )
