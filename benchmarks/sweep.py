"""The full tangent kernel Θ: our sweep against ``vmap(jacrev)`` with a dense product.

python -m benchmarks.sweep
"""

import io

import torch
from torch import Tensor, nn

import eigengate
from benchmarks.networks import NETWORKS
from benchmarks.timing import medians, show
from eigengate.operators.loss import CrossEntropy
from eigengate.operators.subject import Subject
from eigengate.sweep import Part, sweep

BUDGET = 2 * 2**30
PARTS: frozenset[Part] = frozenset({"parameters"})


def by_jacrev(model: nn.Module, x: Tensor) -> Tensor:
    params = {name: p.detach() for name, p in model.named_parameters()}

    def f(p: dict[str, Tensor], z: Tensor) -> Tensor:
        return torch.func.functional_call(model, p, (z.unsqueeze(0),)).squeeze(0)

    rows = torch.func.vmap(torch.func.jacrev(f), in_dims=(None, 0))(params, x)
    G = torch.cat([row.flatten(0, 1).flatten(1) for row in rows.values()], dim=1)
    return G @ G.T


def subject_of(model: nn.Module, x: Tensor) -> Subject:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    functional = eigengate.load_model(stream.getvalue())
    y = functional.apply(functional.params, x).argmax(dim=1)
    return Subject(functional, (x,), y, labels_given=False, loss=CrossEntropy())


if __name__ == "__main__":
    for name, build in NETWORKS.items():
        model, x = build()
        subject = subject_of(model, x)
        sides = {
            "vmap(jacrev), product": lambda model=model, x=x: by_jacrev(model, x),
            "sweep": lambda subject=subject: sweep(subject, memory_budget_bytes=BUDGET, parts=PARTS),
        }
        show(f"{name}, n = {len(x)}, C = 10", medians(sides), floor="vmap(jacrev), product")
