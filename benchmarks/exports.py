"""A network as the bytes of each file format, by every road that leads there."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

Export = Callable[[nn.Module, Tensor], bytes]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn of their own deprecation and log to the terminal."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def _saved(script: torch.jit.ScriptModule) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(script, stream)
    return stream.getvalue()


def traced(model: nn.Module, x: Tensor) -> bytes:
    return _saved(torch.jit.trace(model, x))


def scripted(model: nn.Module, _: Tensor) -> bytes:
    return _saved(torch.jit.script(model))


def frozen(model: nn.Module, _: Tensor) -> bytes:
    """Its parameters are constants, which the reader makes parameters again."""
    return _saved(torch.jit.freeze(torch.jit.script(model)))


def exported(model: nn.Module, x: Tensor) -> bytes:
    return _archived(_program(model, x))


def decomposed(model: nn.Module, x: Tensor) -> bytes:
    """In PyTorch's core operators, where a recurrent layer is a step for every time and gate."""
    return _archived(_program(model, x).run_decompositions())


def _program(model: nn.Module, x: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))


def _archived(program: torch.export.ExportedProgram) -> bytes:
    stream = io.BytesIO()
    torch.export.save(program, stream)
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


FORMATS: Mapping[str, Mapping[str, Export]] = {
    "torchscript": {"traced": traced, "scripted": scripted, "frozen": frozen},
    "pt2": {"exported": exported, "decomposed": decomposed},
    "onnx": {"ONNX 17, older exporter": older_onnx, "ONNX 20, newer exporter": newer_onnx},
}
