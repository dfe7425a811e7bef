"""How the summaries of a spectrum are called, in which unit they are, and which end is the stable one."""

from typing import Final

from eigengate.contract import Direction
from eigengate.diagnostics._metric import Metric

_SINGULAR: Final[dict[str, tuple[str, str, Direction]]] = {
    "operator_norm": ("Largest gain σ₁", "output/input", "lower_is_stabler"),
    "frobenius_norm": ("Frobenius norm (Σσ²)^½", "output/input", "lower_is_stabler"),
    "stable_rank": ("Stable rank Σσ²/σ₁²", "directions", "neutral"),
    "spectral_entropy": ("Entropy of the energies σ²", "nats", "neutral"),
    "effective_rank": ("Effective rank exp(entropy)", "directions", "neutral"),
    "amplitude_entropy": ("Entropy of the amplitudes σ", "nats", "neutral"),
    "condition_number": ("Condition number σ₁/σᵣ over the numerical rank", "", "lower_is_stabler"),
    "typical_gain": ("Root-mean-square gain of a random direction", "output/input", "lower_is_stabler"),
    "entropy_gain": ("Gain σ₁(e^H/d)^½ between typical and worst", "output/input", "lower_is_stabler"),
}
_KERNEL: Final[dict[str, tuple[str, str, Direction]]] = {
    "operator_norm": ("Largest eigenvalue", "output²", "lower_is_stabler"),
    "frobenius_norm": ("Frobenius norm (Σλ²)^½", "output²", "lower_is_stabler"),
    "trace": ("Trace Σλ", "output²", "lower_is_stabler"),
    "stable_rank": ("Stable rank Σλ/λ₁", "directions", "neutral"),
    "spectral_entropy": ("Entropy of the eigenvalues", "nats", "neutral"),
    "effective_rank": ("Effective rank exp(entropy)", "directions", "neutral"),
    "condition_number": ("Condition number λ₁/λᵣ over the numerical rank", "", "lower_is_stabler"),
    "dominance": ("Largest over mean eigenvalue", "", "lower_is_stabler"),
    "label_noise_gain": ("Share of label noise that kernel ridge regression keeps", "", "lower_is_stabler"),
}


def singular_metrics(operator: str, *, per: str) -> dict[str, Metric]:
    """The metrics of singular values by summary; ``per`` is the unit of the operator's domain."""
    return {
        name: Metric(f"{operator}.{name}", title, unit.replace("/input", f"/{per}"), direction)
        for name, (title, unit, direction) in _SINGULAR.items()
    }


def kernel_metrics(prefix: str, *names: str, unit: str = "output²") -> dict[str, Metric]:
    """Some metrics of a positive semidefinite matrix by summary; ``unit`` is that of its eigenvalues."""
    described = {name: _KERNEL[name] for name in names}
    return {
        name: Metric(f"{prefix}{name}", title, unit if own == "output²" else own, direction)
        for name, (title, own, direction) in described.items()
    }
