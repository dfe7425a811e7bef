"""Ways of comparing a clean attribution map with a perturbed one, one file each, found by ``load_all``.

Every metric here is scale-free: a network whose logits are ten times smaller gets the same scores, which no plain
norm of the difference would give it.
"""

from eigengate.attribution.discovery import discover
from eigengate.attribution.metrics.metric import Metric, Pairs

__all__ = ["Metric", "Pairs", "load_all"]


def load_all() -> dict[str, type[Metric]]:
    """Every metric of this folder, by name."""
    return discover(__name__, __path__, Metric)  # type: ignore[type-abstract]  # only asked for its subclasses
