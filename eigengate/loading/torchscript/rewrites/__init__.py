"""Operators written from others: those whose kernels lack a second derivative, forward mode or batching.

Each function takes its first argument by position and the others by the names of the operator's schema, so that all
overloads share it (a key with an overload is for that one alone), and gives the
numbers of the kernel it replaces. What TorchScript has and the dispatcher has not (conversions, tensor literals) is
here too. Nothing here looks at a graph.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from eigengate.loading.torchscript.rewrites import (
    activation,
    assignment,
    attention,
    conversion,
    distance,
    grid,
    lookup,
    loss,
    normalization,
    ragged,
    recurrent,
    resampling,
    scattering,
)

REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    **activation.REWRITES,
    **assignment.REWRITES,
    **attention.REWRITES,
    **conversion.REWRITES,
    **distance.REWRITES,
    **grid.REWRITES,
    **lookup.REWRITES,
    **loss.REWRITES,
    **normalization.REWRITES,
    **ragged.REWRITES,
    **recurrent.REWRITES,
    **resampling.REWRITES,
    **scattering.REWRITES,
}

__all__ = ["REWRITES"]
