"""What the network can still learn, and how fast."""

from collections.abc import Mapping
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from eigengate.contract import Interval, Measurement, Quantity
from eigengate.diagnostics._base import Diagnostic, Findings
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._matrix_free import UNRESOLVED, MatrixFree
from eigengate.diagnostics._metric import NO_SAMPLING, Metric
from eigengate.diagnostics._per_sample import eigenvalue_spectrum
from eigengate.diagnostics._summaries import kernel_metrics
from eigengate.errors import BudgetExceededError
from eigengate.estimators import Spectra, jackknife_interval, kernel_summaries, log_jackknife_interval
from eigengate.estimators.group_jackknife import group_jackknife_interval, with_each_left_out
from eigengate.estimators.weighted_kernel import centred_alignment, kernel_functionals

_METHOD: Final = "class-traced kernel from per-sample gradients, dense eigenvalues in float64"
_PLAIN: Final = kernel_metrics(
    "ntk.",
    "operator_norm",
    "frobenius_norm",
    "trace",
    "stable_rank",
    "spectral_entropy",
    "effective_rank",
    "condition_number",
    "dominance",
    "label_noise_gain",
)
_RELATIVE: Final = kernel_metrics("ntk.relative_", "operator_norm", "effective_rank", "dominance")
_ALIGNMENT: Final = Metric("ntk.target_alignment", "Centred alignment of kernel and targets", "", "neutral")
_TRAINING: Final = Metric("index.training", "Conditioning of training", "log10", "lower_is_stabler")
_TYPICAL: Final = Metric(
    "index.training_typical", "Effective-rank conditioning of training", "log10", "lower_is_stabler"
)
_WHY: Final = {"not_applicable": "the kernel is zero", "non_finite": "the kernel is not finite"}
_DENSE_KERNEL: Final = 4096


@final
class NeuralTangentKernel(Diagnostic):
    """Eigenvalues of K_ij = ⟨G_i, G_j⟩_F ∈ R^{n×n}, of its T-scaled form K_T, and of the full Θ = G Gᵀ.

    For f(x) = Wx, K = C·XXᵀ and Θ = XXᵀ ⊗ I. ``target_alignment`` is the centred kernel alignment with given targets
    (one-hot for classes). ``index.training`` = log10(λ_max(K_T)/mean λ(K_T)); ``index.training_typical`` =
    log10(n/e^H). Sampling intervals are those of the infinitesimal jackknife, for quantities that are smooth in the
    samples' weights.
    """

    name: ClassVar[str] = "ntk"
    quantity: ClassVar[Quantity | None] = "ntk"
    title: ClassVar[str] = "Neural tangent kernel"
    reference: ClassVar[str] = "Jacot, Gabriel & Hongler 2018; Cortes, Mohri & Rostamizadeh 2012 (alignment)"
    metrics: ClassVar[tuple[Metric, ...]] = (*_PLAIN.values(), *_RELATIVE.values(), _ALIGNMENT, _TRAINING, _TYPICAL)

    def measure(self, context: Context) -> Findings:
        if context.matrix_free is not None and context.subject.params:
            return self._estimated(context, context.matrix_free)
        try:
            kernel = context.kernel
        except BudgetExceededError as error:
            return self.nothing("out_of_budget", error.detail)
        if kernel is None:
            return self.nothing("not_applicable", "the network has no trainable parameters")
        dtype, products = context.subject.dtype, kernel.products
        spectra = [
            eigenvalue_spectrum("ntk", _eigenvalues(kernel.traced, dtype, products).energies[0]),
            eigenvalue_spectrum("ntk_relative", _eigenvalues(kernel.scaled_traced, dtype, products).energies[0]),
        ]
        if kernel.full is not None and len(kernel.full) <= _DENSE_KERNEL:
            rank = min(len(kernel.full), kernel.dimension)
            spectra.append(
                eigenvalue_spectrum("ntk_full", _eigenvalues(kernel.full, dtype, products).energies[0, :rank])
            )
        return Findings.of(
            [
                *_summarized(_PLAIN, kernel.traced, dtype, products),
                *_summarized(_RELATIVE, kernel.scaled_traced, dtype, products),
                _alignment(context, kernel.traced),
                *_training(kernel.scaled_traced, dtype, products),
            ],
            spectra=spectra,
        )

    def _estimated(self, context: Context, products: MatrixFree) -> Findings:
        """From random projections of the outputs."""
        try:
            kernel = products.kernel
        except BudgetExceededError as error:
            return self.nothing("out_of_budget", error.detail)
        method = f"class-traced kernel from {kernel.num_passes} random sign projections of the outputs"
        K, K_T = with_each_left_out(kernel.traced), with_each_left_out(kernel.scaled_traced)
        dtype = context.subject.dtype
        return Findings.of(
            [
                *_estimated_summaries(_PLAIN, K, dtype, method),
                *_estimated_summaries(_RELATIVE, K_T, dtype, method),
                _estimated_alignment(context, K, method),
                *_estimated_training(K_T, dtype, method),
            ],
            spectra=[
                eigenvalue_spectrum(name, _eigenvalues(mean, dtype, kernel.products).energies[0], complete=False)
                for name, mean in (("ntk", K[0]), ("ntk_relative", K_T[0]))
            ],
        )


def _eigenvalues(kernel: Float[Tensor, "m m"], dtype: torch.dtype, products: torch.dtype) -> Spectra:
    return Spectra.of_grams(kernel.unsqueeze(0), columns=len(kernel), dtype=dtype, products=products)


def _summarized(
    metrics: Mapping[str, Metric], kernel: Float[Tensor, "n n"], dtype: torch.dtype, products: torch.dtype
) -> list[Measurement]:
    spectra = _eigenvalues(kernel, dtype, products)
    if (outcome := spectra.outcomes[0]) != "ok":
        return [metric.missing(outcome, _WHY[outcome], _METHOD) for metric in metrics.values()]
    summaries, functionals = kernel_summaries(spectra), kernel_functionals(kernel)

    def sampling(name: str) -> Interval | None:
        if name not in functionals:
            return None
        return log_jackknife_interval(functionals[name], len(kernel), device=kernel.device)

    return [
        metric.exactly(
            float(summaries[name]),
            method=_METHOD,
            sampling=sampling(name),
            detail=None if name in functionals else NO_SAMPLING,
        )
        for name, metric in metrics.items()
    ]


def _alignment(context: Context, kernel: Float[Tensor, "n n"]) -> Measurement:
    if not context.subject.labels_given:
        return _ALIGNMENT.missing("not_applicable", "the probe data has no targets")
    targets, n = _targets(context), context.subject.n
    equal = torch.full((n,), 1 / n, dtype=torch.float64, device=kernel.device)
    value = float(centred_alignment(kernel, targets, equal))
    if value != value:
        return _ALIGNMENT.missing("not_applicable", "kernel or targets do not vary over the probe set")
    sampling = jackknife_interval(lambda w: centred_alignment(kernel, targets, w), n, device=kernel.device)
    return _ALIGNMENT.exactly(value, method="centred kernel alignment in float64", sampling=sampling)


def _training(scaled: Float[Tensor, "n n"], dtype: torch.dtype, products: torch.dtype) -> list[Measurement]:
    spectra = _eigenvalues(scaled, dtype, products)
    if (outcome := spectra.outcomes[0]) != "ok":
        return [metric.missing(outcome, _WHY[outcome], _METHOD) for metric in (_TRAINING, _TYPICAL)]
    dominance = kernel_functionals(scaled)["dominance"]
    sampling = jackknife_interval(lambda w: dominance(w).log10(), len(scaled), device=scaled.device)
    value = float(kernel_summaries(spectra)["dominance"].log10())
    typical = float((len(scaled) / spectra.effective_rank).log10())
    return [
        _TRAINING.exactly(value, method=_METHOD, sampling=sampling),
        _TYPICAL.exactly(typical, method=_METHOD, detail=NO_SAMPLING),
    ]


def _targets(context: Context) -> Float[Tensor, "n c"]:
    y = context.subject.y
    return y.double() if y.is_floating_point() else F.one_hot(y, context.sweep.logits.shape[1]).double()


def _estimated_summaries(
    metrics: Mapping[str, Metric], kernels: Float[Tensor, "h n n"], dtype: torch.dtype, method: str
) -> list[Measurement]:
    """Of the mean of the projections' kernels, the first, and of those with a group of projections left out."""
    spectra = Spectra.of_grams(kernels, columns=kernels.shape[1], dtype=dtype)
    if (outcome := spectra.outcomes[0]) != "ok":
        return [metric.missing(outcome, _WHY[outcome], method) for metric in metrics.values()]
    summaries, functionals = kernel_summaries(spectra), kernel_functionals(kernels[0])
    n, device = kernels.shape[1], kernels.device
    return [
        metric.missing("out_of_budget", UNRESOLVED, method)
        if name == "condition_number"
        else metric.estimated(
            float(summaries[name][0]),
            group_jackknife_interval(summaries[name]),
            method=method,
            sampling=log_jackknife_interval(functionals[name], n, device=device) if name in functionals else None,
            detail=None if name in functionals else NO_SAMPLING,
        )
        for name, metric in metrics.items()
    ]


def _estimated_alignment(context: Context, kernels: Float[Tensor, "h n n"], method: str) -> Measurement:
    exactly = _alignment(context, kernels[0])
    if exactly.value is None:
        return exactly
    n, targets = context.subject.n, _targets(context)
    equal = torch.full((n,), 1 / n, dtype=torch.float64, device=kernels.device)
    statistics = torch.stack([centred_alignment(kernel, targets, equal) for kernel in kernels])
    return _ALIGNMENT.estimated(
        exactly.value, group_jackknife_interval(statistics), method=method, sampling=exactly.error.sampling
    )


def _estimated_training(kernels: Float[Tensor, "h n n"], dtype: torch.dtype, method: str) -> list[Measurement]:
    exactly = _training(kernels[0], dtype, torch.float64)
    if exactly[0].value is None:
        return exactly
    n = kernels.shape[1]
    spectra = Spectra.of_grams(kernels, columns=n, dtype=dtype)
    statistics = kernel_summaries(spectra)["dominance"].log10(), (n / spectra.effective_rank).log10()
    return [
        metric.estimated(
            float(values[0]),
            group_jackknife_interval(values),
            method=method,
            sampling=found.error.sampling,
            detail=found.detail,
        )
        for metric, values, found in zip((_TRAINING, _TYPICAL), statistics, exactly, strict=True)
    ]
