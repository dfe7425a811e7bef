"""The sweep against its floor and against other ways to the same numbers, each pair in one run.

python -m benchmarks.engine [memory] [floor] [peers]

The peers come with the ``bench`` extra; ``vmap(jacrev)`` takes 15 GiB of memory. Memory comes first: a
process starts with the peak of the one that starts it.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.engine_networks import resnet18, vit_tiny
from benchmarks.kernels import by_jacrev, by_nngeometry, by_vector_products
from benchmarks.subjects import subject_of
from benchmarks.timing import medians, show
from eigengate.diagnostics._gauss_newton_gram import gauss_newton_gram
from eigengate.estimators import Spectra
from eigengate.operators.subject import Subject
from eigengate.sweep import Sweep, sweep

BUDGET = 2 * 2**30
FLOORS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ResNet-18, 11.2 M parameters": (resnet18, 32),
    "ViT-Tiny, 5.4 M parameters": (vit_tiny, 16),
}


def images(n: int) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def backward_passes(model: nn.Module, x: Tensor) -> None:
    """The floor: one plain gradient by all parameters for every output."""
    f, params = model(x), list(model.parameters())
    for output in range(f.shape[1]):
        torch.autograd.grad(f[:, output].sum(), params, retain_graph=True)


def everything(subject: Subject) -> Sweep:
    """Spectra of all J_i and G_i, both kernels, and the Gauss-Newton spectrum."""
    swept = sweep(subject, memory_budget_bytes=BUDGET)
    assert swept.inputs is not None
    assert swept.kernel is not None
    assert swept.kernel.full is not None
    gram = gauss_newton_gram(subject, swept.logits, swept.kernel.full)
    for grams in (
        swept.inputs.grams,
        swept.kernel.blocks,
        swept.kernel.traced[None],
        swept.kernel.full[None],
        gram[None],
    ):
        Spectra.of_grams(grams, columns=swept.kernel.dimension, dtype=subject.dtype)
    return swept


def floor() -> None:
    for name, (build, n) in FLOORS.items():
        model, x = build(), images(n)
        subject = subject_of(model, x)
        sides = {
            "C backward passes": lambda m=model, x=x: backward_passes(m, x),
            "sweep": lambda s=subject: everything(s),
        }
        show(f"{name}, n = {n}, C = 10: everything first-order", medians(sides, repeats=3), floor="C backward passes")


def peers() -> None:
    """The slower a peer, the fewer samples, but for the first, which is given as many as its memory lets it."""
    compare(32, "vmap(jacrev), products", by_jacrev, repeats=3)
    compare(8, "NTK-vector products", by_vector_products, repeats=1)
    compare(4, "NNGeometry's Gram matrix", by_nngeometry, repeats=1)


def compare(n: int, peer: str, theirs: Callable[[nn.Module, Tensor], Tensor], *, repeats: int) -> None:
    model, x = resnet18(), images(n)
    subject = subject_of(model, x)
    found: dict[str, Tensor] = {}

    def ours() -> None:
        swept = sweep(subject, memory_budget_bytes=BUDGET, parts=frozenset({"parameters"}))
        assert swept.kernel is not None
        assert swept.kernel.full is not None
        found["sweep"] = swept.kernel.full

    def other() -> None:
        found[peer] = theirs(model, x).detach()

    show(f"ResNet-18, full tangent kernel, n = {n}", medians({"sweep": ours, peer: other}, repeats), floor="sweep")
    a, b = found["sweep"], found[peer].double()
    print(f"  difference {float((a - b).norm() / a.norm()):.1e} of the kernel's norm")


def _alone(build: Callable[[], nn.Module], n: int) -> tuple[float, float]:
    subject = subject_of(build(), images(n))
    began = time.perf_counter()
    everything(subject)
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def memory() -> None:
    for name, (build, n) in FLOORS.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak = pool.apply(_alone, (build, n))
        print(f"{name}, n = {n}, alone in a process: {seconds:.1f} s, peak {peak:.2f} GiB")


PARTS = {"memory": memory, "floor": floor, "peers": peers}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
