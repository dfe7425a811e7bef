"""Attribution methods, one file each; nothing is loaded until ``load_all`` is called.

A method is a ``@final`` subclass of ``AttributionMethod`` in a file of its own. Nothing else may live here.
"""

from eigengate.attribution.discovery import discover
from eigengate.attribution.method import AttributionMethod

__all__ = ["load_all"]


def load_all() -> dict[str, type[AttributionMethod]]:
    """Every method of this folder, by name."""
    return discover(__name__, __path__, AttributionMethod)  # type: ignore[type-abstract]  # only asked for subclasses
