"""Forward and backward of a lowered file against the eager network it came from.

python benchmarks/lowered.py
"""

import io
from collections.abc import Callable

import torch
from networks import NETWORKS
from timing import medians, show
from torch import Tensor, nn

import eigengate


def traced(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    return stream.getvalue()


def onnx(model: nn.Module, x: Tensor) -> bytes:
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    return bytes(program.model_proto.SerializeToString())


def eager_step(model: nn.Module, x: Tensor) -> Callable[[], object]:
    params = list(model.parameters())
    return lambda: torch.autograd.grad(model(x).square().sum(), params)


def lowered_step(data: bytes, x: Tensor) -> Callable[[], object]:
    model = eigengate.load_model(data)
    params = {name: p.clone().requires_grad_() for name, p in model.params.items()}
    return lambda: torch.autograd.grad(model.apply(params, x).square().sum(), list(params.values()))


if __name__ == "__main__":
    for name, build in NETWORKS.items():
        model, x = build()
        sides = {
            "eager": eager_step(model, x),
            "TorchScript, lowered": lowered_step(traced(model, x), x),
            "ONNX, lowered": lowered_step(onnx(model, x), x),
        }
        show(f"{name}, n = {len(x)}", medians(sides, repeats=25), floor="eager")
