"""The sweep against its floor and against other ways to the same numbers, each pair in one run.

python -m benchmarks.engine [floor] [peers] [memory]      OMP_NUM_THREADS=1 for one core
"""

import io
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import eigengate
from benchmarks.engine_networks import resnet18, vit_tiny
from benchmarks.timing import medians, show
from eigengate.diagnostics._gauss_newton_gram import gauss_newton_gram
from eigengate.estimators import Spectra
from eigengate.operators.loss import CrossEntropy
from eigengate.operators.subject import Subject
from eigengate.sweep import Sweep, sweep

BUDGET = 2 * 2**30
FLOORS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ResNet-18, 11.2 M parameters": (resnet18, 32),
    "ViT-Tiny, 5.4 M parameters": (vit_tiny, 16),
}


def images(n: int) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def subject_of(model: nn.Module, x: Tensor) -> Subject:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    functional = eigengate.load_model(stream.getvalue())
    y = functional.apply(functional.params, x).argmax(dim=1)
    return Subject(functional, (x,), y, labels_given=False, loss=CrossEntropy())


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


def by_jacrev(model: nn.Module, x: Tensor) -> Tensor:
    """Θ from all gradients written out."""
    params = {name: p.detach() for name, p in model.named_parameters()}
    constants = dict(model.named_buffers())

    def f(p: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(model, {**p, **constants}, (z.unsqueeze(0),)).squeeze(0)

    rows = torch.func.vmap(torch.func.jacrev(f), in_dims=(None, 0))(params, x)
    kernel = torch.zeros(())
    for row in rows.values():
        flat = row.flatten(0, 1).flatten(1)
        kernel = kernel + flat @ flat.T
    return kernel


def ntk_vector_products(model: nn.Module, x: Tensor) -> Tensor:
    """Θ column by column for every pair of samples, as torch.func's tutorial has it."""
    params = {name: p.detach() for name, p in model.named_parameters()}
    constants = dict(model.named_buffers())

    def one(z: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
        return lambda p: torch.func.functional_call(model, {**p, **constants}, (z.unsqueeze(0),)).squeeze(0)

    def pair(a: Tensor, b: Tensor) -> Tensor:
        f, pull = torch.func.vjp(one(a), params)

        def column(u: Tensor) -> Tensor:
            return torch.func.jvp(one(b), (params,), pull(u))[1]

        return torch.vmap(column)(torch.eye(f.shape[0]))

    return torch.stack([torch.stack([pair(a, b) for b in x]) for a in x])


def floor() -> None:
    for name, (build, n) in FLOORS.items():
        model, x = build(), images(n)
        subject = subject_of(model, x)
        sides = {
            "C backward passes": lambda m=model, x=x: backward_passes(m, x),
            "sweep": lambda s=subject: everything(s),
        }
        show(f"{name}, n = {n}, C = 10: everything first-order", medians(sides, repeats=3), floor="C backward passes")


def peers(n: int = 4) -> None:
    model, x = resnet18(), images(n)
    subject = subject_of(model, x)
    found: dict[str, Tensor] = {}

    def ours() -> None:
        swept = sweep(subject, memory_budget_bytes=BUDGET, parts=frozenset({"parameters"}))
        assert swept.kernel is not None
        assert swept.kernel.full is not None
        found["sweep"] = swept.kernel.full

    def theirs() -> None:
        found["vmap(jacrev), products"] = by_jacrev(model, x)

    sides = {"sweep": ours, "vmap(jacrev), products": theirs}
    show(f"ResNet-18, full tangent kernel, n = {n}", medians(sides, repeats=3), floor="sweep")
    a, b = found["sweep"], found["vmap(jacrev), products"].double()
    print(f"  largest difference {float((a - b).norm() / a.norm()):.1e} of the kernel's norm")
    few = x[:2]
    subject_of_few = subject_of(model, few)
    pairs = {
        "sweep": lambda: sweep(subject_of_few, memory_budget_bytes=BUDGET, parts=frozenset({"parameters"})),
        "NTK-vector products": lambda: ntk_vector_products(model, few),
    }
    show("ResNet-18, full tangent kernel, n = 2", medians(pairs, repeats=1), floor="sweep")


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


PARTS = {"floor": floor, "peers": peers, "memory": memory}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
