"""How many products with the Hessian each of its numbers gets."""

from dataclasses import dataclass
from typing import Final, final

# Both ends by Lanczos rarely take more; H, and T H T in units of the tensors' norms.
_ENDS: Final = 96
_FEWEST_ENDS: Final = 8
_PROBES, _STEPS = 8, 24
_FEWEST_PROBES, _FEWEST_STEPS = 2, 8
_TRACE: Final = 8  # probes per tensor
_FULL_TRACE: Final = 48  # probes of the whole matrix, where there are many tensors


@final
@dataclass(frozen=True)
class HessianBudget:
    """Products with the Hessian, at most.

    Attributes:
        ends: For the largest and smallest eigenvalue, of each of the two scalings.
        probes: Probe vectors of the spectral density.
        steps: Lanczos steps of each.
        trace: Probe vectors for each trace.
    """

    ends: int = _ENDS
    probes: int = _PROBES
    steps: int = _STEPS
    trace: int = _FULL_TRACE

    @property
    def products(self) -> int:
        """All together."""
        return 2 * (self.ends + self.trace) + self.probes * self.steps

    @classmethod
    def within(cls, products: float) -> "HessianBudget":
        """The most that fits into so many products; never less than a look at every number."""
        full = cls()
        share = min(1.0, products / full.products)
        if share == 1:
            return full
        ends = max(_FEWEST_ENDS, int(share * full.ends))
        steps = max(_FEWEST_STEPS, min(_STEPS, int(share * full.probes * full.steps / _FEWEST_PROBES)))
        probes = max(_FEWEST_PROBES, int(share * full.probes * full.steps / steps))
        return cls(ends, probes, steps, max(_FEWEST_PROBES, int(share * full.trace)))
