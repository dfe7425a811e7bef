"""Forward, and forward and backward, of a lowered file against the eager network it came from.

python benchmarks/lowered.py [NETWORK ...]      OMP_NUM_THREADS=1 for one core
"""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator

import torch
from networks import NETWORKS
from timing import medians, show
from torch import Tensor, nn

import eigengate
from eigengate.loading import FunctionalModel


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn of their own deprecation and log to the terminal."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def traced(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x), stream)
    return stream.getvalue()


def older_onnx(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    axes = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(model, (x,), stream, dynamo=False, opset_version=17, **axes)
    return stream.getvalue()


def newer_onnx(model: nn.Module, x: Tensor) -> bytes:
    shapes = ({0: torch.export.Dim("n")},)
    program = torch.onnx.export(model, (x,), dynamo=True, opset_version=20, dynamic_shapes=shapes, verbose=False)
    return bytes(program.model_proto.SerializeToString())


EXPORTS = {"TorchScript": traced, "ONNX 17, older exporter": older_onnx, "ONNX 20, newer exporter": newer_onnx}


def step(forward: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> Callable[[], object]:
    return lambda: torch.autograd.grad(forward(params).square().sum(), params)


def lowered(model: FunctionalModel, x: Tensor) -> tuple[Callable[[list[Tensor]], Tensor], list[Tensor]]:
    names = list(model.params)
    params = [model.params[name].clone().requires_grad_() for name in names]
    return lambda values: model.apply(dict(zip(names, values, strict=True)), x), params


def compare(name: str) -> None:
    model, x = NETWORKS[name]()
    sides: dict[str, tuple[Callable[[list[Tensor]], Tensor], list[Tensor]]]
    sides = {"eager": (lambda values: model(x), list(model.parameters()))}
    for export, write in EXPORTS.items():
        with quiet():
            data = write(model, x)
        sides[export] = lowered(eigengate.load_model(data), x)
    steps = {side: step(*parts) for side, parts in sides.items()}
    show(f"{name}, n = {len(x)}, forward and backward", medians(steps, repeats=25), floor="eager")
    with torch.no_grad():
        forwards = {side: (lambda f=f, p=p: f(p)) for side, (f, p) in sides.items()}
        show(f"{name}, n = {len(x)}, forward", medians(forwards, repeats=25), floor="eager")


if __name__ == "__main__":
    for network in sys.argv[1:] or NETWORKS:
        compare(network)
