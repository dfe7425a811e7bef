"""How many products with the Hessian each of its numbers gets."""

from dataclasses import replace
from typing import Final

from eigengate.estimators.effort import Effort

# Below this an end rarely converges, and a spread over probe vectors is no spread.
FEWEST: Final = Effort(ends=16, trace=6, probes=3, steps=8)


def products_of(effort: Effort) -> int:
    """All together: both ends and the trace of H and of T H T, and the quadrature of H."""
    return 2 * (effort.ends + effort.trace) + effort.probes * effort.steps


def gauss_newton_products_of(effort: Effort) -> int:
    """Those with the Gauss-Newton matrix where it is known through them: an end, the trace, the quadrature."""
    return effort.ends + effort.trace + effort.probes * effort.steps


def hessian_effort(products: float, accuracy: float = Effort.accuracy, *, most_steps: int = Effort.steps) -> Effort:
    """The most that fits into so many products; never less than a look at every number.

    Probe vectors make up for steps that memory has no room for.
    """
    full = _with_steps(Effort(accuracy=accuracy), max(FEWEST.steps, min(Effort.steps, most_steps)))
    share = min(1.0, products / products_of(full))
    if share == 1:
        return full
    quadrature = share * full.probes * full.steps
    steps = max(FEWEST.steps, min(full.steps, int(quadrature / FEWEST.probes)))
    return Effort(
        ends=max(FEWEST.ends, int(share * full.ends)),
        trace=max(FEWEST.trace, int(share * full.trace)),
        probes=max(FEWEST.probes, int(quadrature / steps)),
        steps=steps,
        accuracy=accuracy,
    )


def _with_steps(effort: Effort, steps: int) -> Effort:
    """The same products of the quadrature, with other Krylov spaces."""
    return replace(effort, steps=steps, probes=effort.probes * effort.steps // steps)
