"""A number that was estimated from random probe vectors.

Interval: Student's, with the degrees of freedom of the standard error. Estimators take that error from the spectrum
that their products show (``trace_moments``, ``SpectralMeasure``): it has more of them than there are probe vectors.
"""

import math
from dataclasses import dataclass
from typing import final

from scipy.stats import t

from eigengate.contract import Interval, Outcome
from eigengate.estimators.resampling import LEVEL


@final
@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, whose degrees of freedom need not be whole.

    ``num_products`` counts single columns multiplied. A standard error of 0 with no degrees of freedom means exact.
    """

    value: float
    stderr: float
    degrees_of_freedom: float
    num_products: int
    outcome: Outcome = "ok"

    @property
    def interval(self) -> Interval | None:
        """value ± t_{0.975} stderr; None where it is not finite; of level 1 where it is exact."""
        if not (math.isfinite(self.value) and math.isfinite(self.stderr)):
            return None
        if self.stderr == 0:
            level = LEVEL if self.degrees_of_freedom else 1.0
            return Interval(low=self.value, high=self.value, level=level)
        if self.degrees_of_freedom < 1:
            return None
        half = float(t.ppf((1 + LEVEL) / 2, self.degrees_of_freedom)) * self.stderr
        return Interval(low=self.value - half, high=self.value + half, level=LEVEL)


def estimated_from(value: float, stderr: float, degrees_of_freedom: float, num_products: int) -> Estimate:
    """The estimate with the outcome its finiteness gives it."""
    finite = math.isfinite(value) and math.isfinite(stderr)
    return Estimate(value, stderr, degrees_of_freedom, num_products, "ok" if finite else "non_finite")
