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


def sweep_inputs(
    subject: Subject, outputs: int, *, memory_budget_bytes: int, on_progress: OnProgress
) -> InputJacobians:
    """Every row of every J_i: C backward passes per batch of samples."""
    n, d, size = subject.n, subject.x[0].numel(), subject.x.element_size()
    # Each of the C backward passes holds activations, J in its own precision, and J in float64 for the Gram.
    per_sample = outputs * (2 * activation_floats(subject) * size + d * (size + 8))
    at_once = max(1, min(n, memory_budget_bytes // (2 * per_sample)))
    keep = n * outputs * d * size <= memory_budget_bytes // _KEPT_SHARE
    grams, kept = [], []
    for rows in torch.split(torch.arange(n, device=subject.x.device), at_once):
        J = input_jacobians(subject, rows, outputs)
        # In float64 for the reason given at ``row_products``.
        grams.append(J.double() @ J.double().mT)
        kept += [J] if keep else []
        on_progress("input_jacobians", int(rows[-1]) + 1, n)
    return InputJacobians(torch.cat(grams), torch.cat(kept) if keep else None, d)
