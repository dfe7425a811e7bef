"""Forward, and forward and backward, of a lowered file against the eager network it came from.

python -m benchmarks.lowered torchscript|pt2|onnx [NETWORK ...]      OMP_NUM_THREADS=1 for one core
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

import eigengate
from benchmarks.exports import FORMATS, quiet
from benchmarks.networks import NETWORKS
from benchmarks.timing import medians, show
from eigengate.loading import FunctionalModel

REPEATS = 41


def step(forward: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> Callable[[], object]:
    return lambda: torch.autograd.grad(forward(params).square().sum(), params)


def lowered(model: FunctionalModel, x: Tensor) -> tuple[Callable[[list[Tensor]], Tensor], list[Tensor]]:
    names = list(model.params)
    params = [model.params[name].clone().requires_grad_() for name in names]
    return lambda values: model.apply(dict(zip(names, values, strict=True)), x), params


def compare(file_format: str, name: str) -> None:
    model, x = NETWORKS[name]()
    sides: dict[str, tuple[Callable[[list[Tensor]], Tensor], list[Tensor]]]
    sides = {"eager": (lambda values: model(x), list(model.parameters()))}
    for export, write in FORMATS[file_format].items():
        with quiet():
            data = write(model, x)
        sides[export] = lowered(eigengate.load_model(data), x)
    steps = {side: step(*parts) for side, parts in sides.items()}
    show(f"{name}, n = {len(x)}, forward and backward", medians(steps, REPEATS), floor="eager")
    with torch.no_grad():
        forwards = {side: (lambda f=f, p=p: f(p)) for side, (f, p) in sides.items()}
        show(f"{name}, n = {len(x)}, forward", medians(forwards, REPEATS), floor="eager")


if __name__ == "__main__":
    file_format, *networks = sys.argv[1:]
    for network in networks or NETWORKS:
        compare(file_format, network)
