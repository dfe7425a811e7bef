"""Explanations of single predictions, and how well they survive noise (design section 6).

Here live the attribution methods (``methods``, one file each), the noise (``perturbations``), the comparison of two
maps (``metrics``, one file each) and ``robustness``, which brings them together. A new method or metric is one new
file, found by ``load_all``. Nothing here knows of reports or of which number heads them: that is
``eigengate.diagnostics``.

Dimensions: n samples, k rows of a batch, d input features, C outputs, S noise sizes, D draws.
"""

from eigengate.attribution.batching import rows_within
from eigengate.attribution.curve import RobustnessCurve, nearest
from eigengate.attribution.draw_error import draw_interval
from eigengate.attribution.explanation import Explanation, explain
from eigengate.attribution.method import AttributionMethod, Axiom
from eigengate.attribution.methods import load_all
from eigengate.attribution.neighbourhood import Neighbourhood
from eigengate.attribution.robustness import robustness
from eigengate.attribution.spread import spread

__all__ = [
    "AttributionMethod",
    "Axiom",
    "Explanation",
    "Neighbourhood",
    "RobustnessCurve",
    "draw_interval",
    "explain",
    "load_all",
    "nearest",
    "robustness",
    "rows_within",
    "spread",
]
