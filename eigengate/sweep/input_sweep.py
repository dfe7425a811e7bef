"""Input Jacobians of the whole probe set."""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.operators.batches import activation_floats
from eigengate.operators.subject import Subject
from eigengate.sweep.per_sample import input_jacobians
from eigengate.sweep.progress import OnProgress

_KEPT_SHARE: Final = 4  # a quarter of the memory budget may be spent on keeping Jacobians


@final
@dataclass(frozen=True)
class InputJacobians:
    """``grams`` J_i J_iᵀ [n, C, C] in float64, and the J_i [n, C, d] themselves where they fit into memory."""

    grams: Float[Tensor, "n C C"]
    jacobians: Float[Tensor, "n C d"] | None
    dimension: int


@final
class JacobianStore:
    """Jacobians as they come, sample after sample: their Grams always, themselves where they fit."""

    def __init__(self, subject: Subject, outputs: int, memory_budget_bytes: int) -> None:
        self._dimension = subject.x[0].numel()
        size = subject.n * outputs * self._dimension * subject.x.element_size()
        self._keeps = size <= memory_budget_bytes // _KEPT_SHARE
        self._grams: list[Tensor] = []
        self._kept: list[Tensor] = []

    def put(self, J: Float[Tensor, "m C d"]) -> None:
        """Of the next m samples."""
        # In float64: a Gram matrix squares the condition number.
        self._grams += [rows.double() @ rows.double().mT for rows in torch.split(J, 1)]
        self._kept += [J] if self._keeps else []

    def jacobians(self) -> InputJacobians:
        """What has been put."""
        return InputJacobians(torch.cat(self._grams), torch.cat(self._kept) if self._keeps else None, self._dimension)


def sweep_inputs(
    subject: Subject, outputs: int, *, memory_budget_bytes: int, on_progress: OnProgress
) -> InputJacobians:
    """Every row of every J_i of a network that cannot be traced, by C backward passes per sample."""
    n, d, size = subject.n, subject.x[0].numel(), subject.x.element_size()
    # Each of the C backward passes holds activations, J in its own precision, and J in float64 for the Gram.
    per_sample = outputs * (2 * activation_floats(subject) * size + d * (size + 8))
    at_once = max(1, min(n, memory_budget_bytes // (2 * per_sample)))
    store = JacobianStore(subject, outputs, memory_budget_bytes)
    for rows in torch.split(torch.arange(n, device=subject.x.device), at_once):
        store.put(input_jacobians(subject, rows, outputs))
        on_progress("input_jacobians", int(rows[-1]) + 1, n)
    return store.jacobians()
