"""Which pictures a report has, with their titles and captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from eigengate.contract import Spectrum, StabilityReport, Verdict
from eigengate.page.pictures.attribution_curves import attribution_curves
from eigengate.page.pictures.cost_bars import cost_bars
from eigengate.page.pictures.curvature_strips import curvature_strips
from eigengate.page.pictures.eigenvalue_decay import eigenvalue_decay
from eigengate.page.pictures.index_profile import index_profile
from eigengate.page.pictures.singular_value_band import singular_value_band

_JACOBIANS = {"input_jacobian": "Input Jacobians", "parameter_jacobian": "Parameter Jacobians"}
_KERNELS = {
    "ntk": "Neural tangent kernel",
    "ntk_full": "Tangent kernel of every output",
    "ntk_relative": "Tangent kernel of relative parameters",
}
_CURVATURE = {"gauss_newton": "Gauss–Newton", "hessian": "Hessian"}


@final
@dataclass(frozen=True)
class Figure:
    """A picture, its title, and what one sees in it."""

    title: str
    picture: Markup
    caption: str


def index_figure(report: StabilityReport, verdict: Verdict | None) -> Figure | None:
    """The components of the index, with the thresholds that a policy sets on them."""
    if not report.index.variants:
        return None
    thresholds = {
        result.metric.removeprefix("index."): result.threshold
        for result in (verdict.conditions if verdict else ())
        if result.metric.startswith("index.") and result.threshold is not None and result.status != "off"
    }
    caption = (
        "Each component is the logarithm of a dimensionless gain; the index is their weighted mean. "
        "Further right is less stable; one step to the right is ten times less stable."
    )
    return Figure("Where the index comes from", index_profile(report.index, thresholds), caption)


def spectrum_figures(report: StabilityReport) -> tuple[Figure, ...]:
    """Jacobians over the samples, the tangent kernel, and the ends of the curvature spectra."""
    return tuple(_spectra([s for s in report.spectra if s.values]))


def _spectra(spectra: Sequence[Spectrum]) -> Iterator[Figure]:
    for name, title in _JACOBIANS.items():
        samples = [s for s in spectra if s.name == name and s.sample is not None]
        if samples:
            caption = f"Singular values of {len(samples)} samples: median, and the band from 5th to 95th percentile."
            yield Figure(title, singular_value_band(title, samples), caption)
    for spectrum in spectra:
        if spectrum.sample is None and spectrum.name not in _CURVATURE:
            title = _KERNELS.get(spectrum.name, spectrum.name.replace("_", " "))
            caption = "All eigenvalues, descending." if spectrum.complete else "The part of the spectrum that is known."
            yield Figure(title, eigenvalue_decay(title, spectrum), caption)
    curvature = [(_CURVATURE[s.name], s) for s in spectra if s.sample is None and s.name in _CURVATURE]
    if curvature:
        partial = [title for title, spectrum in curvature if not spectrum.complete]
        caption = "Every mark is an eigenvalue; left of zero the loss curves downwards."
        caption += f" Of the {' and '.join(partial)} only the ends are known." if partial else ""
        yield Figure("Curvature of the loss", curvature_strips(curvature), caption)


def attribution_figure(report: StabilityReport) -> Figure | None:
    """How fast explanations turn away under growing noise."""
    if report.attribution is None or not report.attribution.curves:
        return None
    caption = "Cosine between clean and perturbed attribution; 1 means the explanation did not move. Bands: 95 %."
    return Figure("Attribution under noise", attribution_curves(report.attribution.curves), caption)


def cost_figure(report: StabilityReport) -> Figure | None:
    """Where the time went."""
    if not report.cost.stages:
        return None
    return Figure("Time", cost_bars(report.cost.stages), f"{report.cost.seconds:.1f} seconds in all.")
