"""The sweep on a GPU against its floor there, C plain backward passes by the eager network.

python -m benchmarks.gpu

Without a CUDA device it says so and ends.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.engine import FLOORS, backward_passes, everything, images
from benchmarks.subjects import subject_of
from benchmarks.timing import medians, show
from eigengate.operators.subject import Subject
from eigengate.reproducibility import reproducible

REPEATS = 7


def synchronised(run: Callable[[], object]) -> Callable[[], None]:
    """A GPU works behind the caller's back: a run has ended when it has."""

    def finished() -> None:
        run()
        torch.cuda.synchronize()

    return finished


def moved(subject: Subject, device: torch.device) -> Subject:
    inputs = tuple(tensor.to(device) for tensor in subject.inputs)
    return replace(subject, model=subject.model.to(device=device), inputs=inputs, y=subject.y.to(device))


def floor(device: torch.device) -> None:
    """Both sides in full float32 and with deterministic kernels, as audits are made."""
    for name, (build, n) in FLOORS.items():
        model, x = build(), images(n)
        subject = moved(subject_of(model, x), device)
        theirs, there = copy.deepcopy(model).to(device), x.to(device)
        sides = {
            "C backward passes": synchronised(lambda m=theirs, x=there: backward_passes(m, x)),
            "sweep": synchronised(lambda s=subject: everything(s)),
        }
        torch.cuda.reset_peak_memory_stats(device)
        with reproducible():
            found = medians(sides, REPEATS)
        show(f"{name}, n = {n}, C = 10: everything first-order", found, floor="C backward passes")
        print(f"  peak of both {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB")


if __name__ == "__main__":
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name(0))
        floor(torch.device("cuda:0"))
    else:
        print("no CUDA device here: nothing was measured")
