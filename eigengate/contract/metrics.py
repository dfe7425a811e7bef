"""Every name a measurement may carry: what a policy can ask for, what a page can explain.

A literal list, so that a policy is checked without loading torch; a test holds it against what an audit reports.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from eigengate.contract.measurement import Direction

LOWER: Direction = "lower_is_stabler"
HIGHER: Direction = "higher_is_stabler"
NEUTRAL: Direction = "neutral"


class Metric(NamedTuple):
    """A measurement's name, which way is stabler, and one sentence of meaning."""

    name: str
    direction: Direction
    meaning: str


Row = tuple[str, Direction, str]

_SPECTRUM: tuple[Row, ...] = (
    ("operator_norm", LOWER, "Largest singular value: the worst-case gain."),
    ("frobenius_norm", LOWER, "Root of the sum of squared singular values."),
    ("stable_rank", NEUTRAL, "Squared Frobenius norm over squared operator norm: how many directions carry the gain."),
    ("spectral_entropy", NEUTRAL, "Entropy of the energy weights, in nats: how evenly the directions share the gain."),
    ("effective_rank", NEUTRAL, "Exponential of the spectral entropy."),
    ("amplitude_entropy", NEUTRAL, "Entropy of the normalised singular values, in nats."),
    ("condition_number", LOWER, "Largest over smallest singular value within the numerical rank."),
    ("typical_gain", LOWER, "Root-mean-square gain of a random direction."),
    ("entropy_gain", LOWER, "Operator norm scaled by the spectral entropy; between typical gain and operator norm."),
)
_RELATIVE: tuple[Row, ...] = (
    ("relative_operator_norm", LOWER, "Worst output change per relative parameter change."),
    ("relative_frobenius_norm", LOWER, "Output change per relative parameter change, over all directions."),
)
_NTK: tuple[Row, ...] = (
    ("operator_norm", LOWER, "Largest eigenvalue of the tangent kernel."),
    ("frobenius_norm", LOWER, "Frobenius norm of the tangent kernel."),
    ("trace", LOWER, "Trace of the tangent kernel: the squared size of all parameter gradients."),
    ("stable_rank", NEUTRAL, "Trace over largest eigenvalue of the kernel."),
    ("spectral_entropy", NEUTRAL, "Entropy of the kernel's eigenvalue weights, in nats."),
    ("effective_rank", NEUTRAL, "Exponential of the kernel's spectral entropy."),
    ("condition_number", LOWER, "Largest over smallest kernel eigenvalue within the numerical rank."),
    ("dominance", LOWER, "Largest over mean kernel eigenvalue: how much one direction leads training."),
    ("relative_operator_norm", LOWER, "Largest kernel eigenvalue, parameters in units of their tensors' norms."),
    ("relative_effective_rank", NEUTRAL, "Effective rank, parameters in units of their tensors' norms."),
    ("relative_dominance", LOWER, "Dominance, parameters in units of their tensors' norms."),
    ("label_noise_gain", LOWER, "Share of label noise that kernel ridge regression keeps, between 0 and 1."),
    ("target_alignment", NEUTRAL, "Centred alignment of the kernel with the labels."),
)
_GAUSS_NEWTON: tuple[Row, ...] = (
    ("lambda_max", LOWER, "Largest Gauss-Newton eigenvalue."),
    ("frobenius_norm", LOWER, "Frobenius norm of the Gauss-Newton matrix."),
    ("trace", LOWER, "Trace of the Gauss-Newton matrix."),
    ("stable_rank", NEUTRAL, "Trace over largest Gauss-Newton eigenvalue."),
    ("condition_number", LOWER, "Largest over smallest Gauss-Newton eigenvalue within the numerical rank."),
    ("spectral_entropy", NEUTRAL, "Entropy of the Gauss-Newton eigenvalue weights, in nats."),
    ("effective_rank", NEUTRAL, "Exponential of the Gauss-Newton spectral entropy."),
)
_HESSIAN: tuple[Row, ...] = (
    ("lambda_max", LOWER, "Largest Hessian eigenvalue: the sharpness of the loss."),
    ("lambda_min", HIGHER, "Smallest Hessian eigenvalue: the most negative curvature."),
    ("trace", LOWER, "Trace of the loss Hessian: the mean curvature times the number of parameters."),
    ("spectral_entropy", NEUTRAL, "Entropy of the absolute eigenvalues' weights, in nats."),
    ("negative_mass", LOWER, "Share of spectral mass below zero."),
    ("max_stable_step", HIGHER, "Largest gradient-descent step that does not diverge, 2 / lambda_max."),
    ("relative_lambda_max", LOWER, "Largest curvature per squared relative parameter change."),
    ("relative_trace", LOWER, "Trace of the Hessian with parameters in units of their tensors' norms."),
)
_INDEX: tuple[Row, ...] = (
    ("gmsi", LOWER, "Stability index gmsi-1, log10: one more is ten times less stable."),
    ("gmsi_typical", LOWER, "Stability index with typical instead of worst-case gains."),
    ("gmsi_raw", LOWER, "Weighted sum of raw norms; depends on every unit."),
    ("forward", LOWER, "Index component: worst input perturbation, log10."),
    ("parameter", LOWER, "Index component: relative parameter perturbation, log10."),
    ("training", LOWER, "Index component: conditioning of training, log10."),
    ("curvature", LOWER, "Index component: relative loss curvature, log10."),
    ("forward_typical", LOWER, "Index component: typical input perturbation, log10."),
    ("parameter_typical", LOWER, "Index component: typical relative parameter perturbation, log10."),
    ("training_typical", LOWER, "Index component: conditioning by effective rank, log10."),
    ("curvature_typical", LOWER, "Index component: mean relative curvature, log10."),
)
_ATTRIBUTION: tuple[Row, ...] = (
    ("cosine", HIGHER, "Cosine between clean and perturbed attribution."),
    ("spearman", HIGHER, "Rank correlation between clean and perturbed attribution."),
    ("top_k_overlap", HIGHER, "Share of the most important features that stay so."),
    ("relative_l2", LOWER, "Attribution change relative to the attribution's norm."),
    ("flip_rate", LOWER, "Share of perturbed inputs whose prediction changes."),
)
_MODEL: tuple[Row, ...] = (
    ("accuracy", HIGHER, "Share of probe samples that are classified as labelled."),
    ("loss", LOWER, "Mean loss over the probe set."),
    ("output_spread", NEUTRAL, "Root-mean-square distance of the outputs from their mean."),
)

_FAMILIES: dict[str, tuple[Row, ...]] = {
    "input_jacobian": _SPECTRUM,
    "parameter_jacobian": (*_SPECTRUM, *_RELATIVE),
    "ntk": _NTK,
    "gauss_newton": _GAUSS_NEWTON,
    "hessian": _HESSIAN,
    "index": _INDEX,
    "attribution": (("robustness", HIGHER, "Mean cosine over noise sizes and methods, between 0 and 1."),),
    "attribution.saliency": _ATTRIBUTION,
    "attribution.integrated_gradients": _ATTRIBUTION,
    "attribution.smoothgrad": _ATTRIBUTION,
    "model": _MODEL,
    "probe": (
        ("samples", NEUTRAL, "Number of probe samples that were measured."),
        ("input_spread", NEUTRAL, "Root-mean-square distance of the probe inputs from their mean."),
    ),
}

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        f"{family}.{name}": Metric(f"{family}.{name}", direction, meaning)
        for family, rows in _FAMILIES.items()
        for name, direction, meaning in rows
    }
)
