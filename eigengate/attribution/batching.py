"""How many rows may be explained at once."""

from typing import final

import torch
from torch import Tensor

from eigengate.attribution.explanation import function_of
from eigengate.operators.subject import Subject

MAX_ROWS = 512  # beyond it a batch only costs memory
_COMPARISON_BYTES = 128  # per feature: maps and inputs, clean and noisy, in float64, with their sorts and temporaries
_TRANSIENT = 2  # values alive at the peak of a backward pass, over those saved for it; measured on small ResNets


def rows_within(subject: Subject, memory_budget_bytes: int) -> int:
    """The largest batch, between 1 and 512 rows, whose gradient and comparison fit the budget.

    What autograd saves for one more row is measured, not guessed: the difference between a batch of two and of one,
    so that parameters, which every batch shares, do not count.
    """
    saved = _saved_bytes(subject, 2) - _saved_bytes(subject, 1)
    row = _TRANSIENT * saved + _COMPARISON_BYTES * subject.x[0].numel()
    return max(1, min(MAX_ROWS, memory_budget_bytes // row))


def _saved_bytes(subject: Subject, rows: int) -> int:
    tally = _Tally()
    samples = torch.zeros(rows, dtype=torch.long, device=subject.x.device)
    x = subject.x[samples].requires_grad_()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(tally.pack, lambda tensor: tensor):
        output = function_of(subject, samples)(x)
    del output
    return sum(tally.storages.values())


@final
class _Tally:
    """Sizes of the storages saved for backward, each once; ``kept`` holds them so that no address is used twice."""

    def __init__(self) -> None:
        self.storages: dict[int, int] = {}
        self.kept: list[Tensor] = []

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        self.kept.append(tensor.detach())
        return tensor
