"""How well a spectrum is to be known, and what may be spent on it."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Effort:
    """An accuracy to aim for, and products with the operator, at most.

    The defaults bring Hutch++ to about a percent on spectra of networks, whose eigenvalues decay fast, and let Lanczos
    converge to both ends on nearly all of them.

    Attributes:
        ends: For the largest and the smallest eigenvalue together.
        trace: For the trace where nothing else tells it.
        probes: Probe vectors of the quadrature; one of them scouts.
        steps: Lanczos steps of each.
        accuracy: Residual of an end, relative to the largest eigenvalue by magnitude.
    """

    ends: int = 240
    trace: int = 48
    probes: int = 4
    steps: int = 48
    accuracy: float = 1e-3
