"""Bytes of a trained network to a ``FunctionalModel``, the format told by content."""

import hashlib
from pathlib import Path

from eigengate.errors import ModelLoadError
from eigengate.loading.functional_model import FunctionalModel, OutputSpec
from eigengate.loading.program import Lowered
from eigengate.loading.source import read_source


def load_model(source: str | Path | bytes) -> FunctionalModel:
    """Lower a TorchScript or ONNX file to a pure function; its first output is the analysed one.

    Raises:
        UnsupportedFormatError: neither format.
        UnsupportedOperatorError: operators without a pure function, all listed.
        ModelLoadError: the file is damaged.
    """
    from eigengate.loading.onnx import is_onnx, read_onnx
    from eigengate.loading.torchscript import read_torchscript

    data = read_source(source)
    if not data:
        raise ModelLoadError("the model file is empty", hint="export the model again")
    if is_onnx(data):
        return _functional(read_onnx(data), "onnx", data)
    return _functional(read_torchscript(data), "torchscript", data)


def _functional(lowered: Lowered, model_format: str, data: bytes) -> FunctionalModel:
    program = lowered.program
    if not program.outputs:
        raise ModelLoadError("the model has no output", hint="return a tensor from forward")
    return FunctionalModel(
        program=program,
        runtime=lowered.runtime,
        output=OutputSpec(program.outputs[0], 0),
        format="onnx" if model_format == "onnx" else "torchscript",
        sha256=hashlib.sha256(data).hexdigest(),
        trainable=tuple(program.parameters),
        frozen={},
    )
