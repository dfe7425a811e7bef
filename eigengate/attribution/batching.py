"""How many rows may be explained at once."""

from typing import final

import torch
from torch import Tensor

from eigengate.attribution.explanation import function_of
from eigengate.operators.subject import Subject

MAX_ROWS = 512
_FEW_ROWS = 8
_CACHE_BYTES = 32 * 2**20  # on a CPU, a batch of convolutions that outgrows the caches takes twice as long
_COMPARISON_BYTES = 128  # per feature: maps and inputs, clean and noisy, in float64, with their sorts and temporaries
_TRANSIENT = 2.5  # bytes alive at the peak of a backward pass, over those saved for it; measured on a small CNN


def rows_within(subject: Subject, memory_budget_bytes: int) -> int:
    """A batch of between 1 and 512 rows whose gradients and comparisons fit the budget, and on a CPU its caches.

    What autograd saves for one more row is measured, not guessed: the difference between a batch of two and of one,
    so that parameters, which every batch shares, do not count.
    """
    saved = _saved_bytes(subject, 2) - _saved_bytes(subject, 1)
    row = _TRANSIENT * saved + _COMPARISON_BYTES * subject.x[0].numel()
    affordable = int(memory_budget_bytes // row)
    quick = MAX_ROWS if subject.x.is_cuda else max(_FEW_ROWS, int(_CACHE_BYTES // row))
    return max(1, min(affordable, quick, MAX_ROWS))


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
