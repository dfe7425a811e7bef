"""Summaries that exist once per probe sample, as measurements, per-sample values and spectra."""

import math
from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.contract import Measurement, Outcome, Spectrum
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._matrix_free import UNKNOWN
from eigengate.diagnostics._metric import Metric
from eigengate.estimators import Spectra
from eigengate.estimators.sample_spectra import EstimatedSpectra

# A report is read by people and pages: more singular values than this per sample are a download, not a picture.
_VALUES_PER_SAMPLE: Final = 64
VALUES_PER_SPECTRUM: Final = 2048
_FROM_LARGEST: Final = frozenset({"operator_norm", "stable_rank", "entropy_gain"})


def sample_measurements(
    metrics: Mapping[str, Metric],
    summaries: Mapping[str, Float[Tensor, " n"]],
    outcomes: tuple[Outcome, ...],
    *,
    context: Context,
    method: str,
) -> tuple[list[Measurement], dict[str, Float[Tensor, " n"]]]:
    """Measurements of the metrics given by summary, and their values by measurement name.

    Where every spectrum is empty or zero, norms are as undefined as everything else: a gate must not pass a dead
    network for its norm of 0.
    """
    dead = all(outcome == "not_applicable" for outcome in outcomes)
    measurements, values = [], {}
    for summary, metric in metrics.items():
        value = summaries[summary]
        value = torch.full_like(value, torch.nan) if dead else value
        generator = context.generator(f"bootstrap/{metric.name}")
        measurements.append(metric.per_sample(value, method=method, generator=generator, outcomes=outcomes))
        values[metric.name] = value
    return measurements, values


def estimated_measurements(
    metrics: Mapping[str, Metric], spectra: EstimatedSpectra, *, context: Context, method: str
) -> tuple[list[Measurement], dict[str, Float[Tensor, " n"]]]:
    """The same of spectra that are known through products; what those cannot tell is out of budget."""
    known, dead = spectra.summaries(), all(outcome == "not_applicable" for outcome in spectra.outcomes)
    measurements, values = [], {}
    for summary, metric in metrics.items():
        if summary not in known:
            measurements.append(metric.missing("out_of_budget", UNKNOWN, method))
            continue
        estimates = known[summary]
        value = torch.full_like(estimates.value, torch.nan) if dead else estimates.value
        measurement = metric.per_sample(
            value,
            method=method,
            generator=context.generator(f"bootstrap/{metric.name}"),
            outcomes=spectra.outcomes,
            numerical=None if dead else estimates.mean_interval(),
        )
        measurements.append(unless_converged(measurement, spectra) if summary in _FROM_LARGEST else measurement)
        values[metric.name] = value
    return measurements, values


def estimated_sample_spectra(name: str, spectra: EstimatedSpectra) -> tuple[Spectrum, ...]:
    """The singular values found, largest first; the smaller of them are lower bounds."""
    kept = spectra.leading[:, :_VALUES_PER_SAMPLE].sqrt().tolist()
    return tuple(
        Spectrum(
            name=name,
            kind="singular_values",
            values=tuple(values) if outcome != "non_finite" else (),
            complete=False,
            sample=i,
            outcome=outcome,
        )
        for i, (values, outcome) in enumerate(zip(kept, spectra.outcomes, strict=True))
    )


def unless_converged(measurement: Measurement, spectra: EstimatedSpectra) -> Measurement:
    """A measurement that is made of σ₁, marked where σ₁ is not known well enough."""
    if measurement.outcome != "ok" or "not_converged" not in spectra.outcomes:
        return measurement
    left = sum(outcome == "not_converged" for outcome in spectra.outcomes)
    detail = f"σ₁ did not converge for {left} of {len(spectra.outcomes)} samples"
    return measurement.model_copy(update={"outcome": "not_converged", "detail": detail})


def sample_spectra(name: str, spectra: Spectra) -> tuple[Spectrum, ...]:
    """The singular values of every sample, the largest ones if there are many."""
    kept = spectra.energies[:, :_VALUES_PER_SAMPLE].sqrt().tolist()
    complete = spectra.energies.shape[1] <= _VALUES_PER_SAMPLE
    return tuple(
        Spectrum(
            name=name,
            kind="singular_values",
            values=tuple(values) if outcome != "non_finite" else (),
            complete=complete and outcome != "non_finite",
            sample=i,
            outcome=outcome,
        )
        for i, (values, outcome) in enumerate(zip(kept, spectra.outcomes, strict=True))
    )


def eigenvalue_spectrum(name: str, eigenvalues: Float[Tensor, " k"], *, complete: bool = True) -> Spectrum:
    """Descending eigenvalues, the largest ones if there are many."""
    values = eigenvalues[:VALUES_PER_SPECTRUM].tolist()
    if not all(map(math.isfinite, values)):
        return Spectrum(name=name, kind="eigenvalues", values=(), complete=False, outcome="non_finite")
    complete = complete and len(values) == len(eigenvalues)
    return Spectrum(name=name, kind="eigenvalues", values=tuple(values), complete=complete)
