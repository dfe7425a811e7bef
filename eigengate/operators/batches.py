"""Splitting the probe set so that one product fits into memory."""

from typing import Final

import torch

from eigengate.loading.functional_model import filled_up
from eigengate.operators.subject import Subject

# A recorded gradient keeps the values of its forward and backward pass, differentiating it makes both again, piece by
# piece: measured were 3.2 times the values of a ResNet-18.
_COPIES: Final = 4


def activation_floats(subject: Subject) -> int:
    """How many floating point numbers one sample's forward pass makes."""
    params = {**subject.model.frozen, **subject.params}
    rows = subject.model.fixed_batch or 1
    sample = (filled_up(tensor[:rows], rows) for tensor in subject.inputs)
    with torch.no_grad():
        return sum(value.numel() for _, value in subject.model.program.watch(params, *sample)) // rows


def batches(subject: Subject, *, memory_budget_bytes: int) -> tuple[torch.Tensor, ...]:
    """Row indices of the probe set in equal batches whose derivative passes fit into the budget."""
    per_sample = _COPIES * max(activation_floats(subject), subject.x[0].numel()) * subject.dtype.itemsize
    size = max(1, min(subject.n, memory_budget_bytes // max(per_sample, 1)))
    return torch.split(torch.arange(subject.n, device=subject.x.device), size)
