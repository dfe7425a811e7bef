"""How fast this machine works on this network."""

import time
from typing import Final

import torch

from eigengate.operators.subject import Subject
from eigengate.planning.workload import GRADIENT, Workload

_REPEATS: Final = 3
_SAMPLES: Final = 4


def measured_throughput(subject: Subject, workload: Workload) -> float:
    """Operations per second in a gradient of a few samples, the best of a few tries."""
    rows = torch.arange(min(_SAMPLES, subject.n), device=subject.x.device)
    outputs, x, y = subject.outputs_of(rows), subject.x[rows], subject.y[rows]
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in subject.params.items()}
    x = x.detach().requires_grad_(x.is_floating_point())
    wanted = [*leaves.values(), *([x] if x.requires_grad else [])]
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        loss = subject.loss.per_sample(outputs(leaves, x), y).sum()
        torch.autograd.grad(loss, wanted, allow_unused=True)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds.append(time.perf_counter() - began)
    return GRADIENT * workload.forward * len(rows) / max(min(seconds), 1e-9)
