"""How many products with the Hessian each layer's block of it gets."""

from collections.abc import Sequence

from eigengate.estimators.effort import Effort
from eigengate.planning.hessian_budget import FEWEST


def layer_products(effort: Effort, size: int) -> int:
    """Of a layer of so many parameters: both ends and the trace, or all its columns if they are no more."""
    return min(size, effort.ends + effort.trace)


def is_written_out(effort: Effort, size: int) -> bool:
    """Whether the whole block costs no more products than looking at it."""
    return size <= effort.ends + effort.trace


def layer_effort(products: float, sizes: Sequence[int], accuracy: float = Effort.accuracy) -> Effort:
    """The same for every layer, the most that fits into so many products; never less than a look at each.

    A layer smaller than its share leaves what it does not need to the others.
    """
    full = Effort(accuracy=accuracy)
    left, each = products, 0.0
    for rank, size in enumerate(sorted(sizes)):
        each = left / (len(sizes) - rank)
        if each <= size:
            break
        left -= size
    else:
        return full
    share = min(1.0, each / (full.ends + full.trace))
    return Effort(
        ends=max(FEWEST.ends, int(share * full.ends)),
        trace=max(FEWEST.trace, int(share * full.trace)),
        accuracy=accuracy,
    )
