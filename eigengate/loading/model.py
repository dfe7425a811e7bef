"""Bytes of a trained network to a ``FunctionalModel``, the format told by content."""

import hashlib
from pathlib import Path
from typing import Literal

from eigengate.errors import ModelLoadError
from eigengate.loading.functional_model import FunctionalModel, OutputSpec
from eigengate.loading.program import Lowered
from eigengate.loading.source import read_source


def load_model(source: str | Path | bytes) -> FunctionalModel:
    """Lower a TorchScript, ONNX or torch.export file to a pure function; its first output is the analysed one.

    An ONNX model that keeps its weights in files beside it comes with them as a bundle: a zip, tar or tar.gz archive
    of the model and its data files.

    Raises:
        UnsupportedFormatError: none of these formats.
        UnsupportedOperatorError: operators without a pure function, all listed.
        ModelLoadError: the file is damaged, or a bundle lacks data that its model wants.
    """
    data = read_source(source)
    if not data:
        raise ModelLoadError("the model file is empty", hint="export the model again")
    return _read(data)


def _read(data: bytes) -> FunctionalModel:
    from eigengate.loading.exported import is_exported, read_exported
    from eigengate.loading.onnx import is_onnx, read_onnx
    from eigengate.loading.onnx.bundle import is_archive
    from eigengate.loading.onnx.lowering import read_onnx_bundle
    from eigengate.loading.torchscript import read_torchscript
    from eigengate.loading.torchscript.archive import ArchiveKind, sniff

    if is_onnx(data):
        return _functional(read_onnx(data), "onnx", data)
    if is_exported(data):
        return _functional(read_exported(data), "pt2", data)
    if is_archive(data) and sniff(data) is ArchiveKind.OTHER:
        return _functional(read_onnx_bundle(data), "onnx", data)
    return _functional(read_torchscript(data), "torchscript", data)


def _functional(lowered: Lowered, model_format: Literal["torchscript", "onnx", "pt2"], data: bytes) -> FunctionalModel:
    program = lowered.program
    if not program.outputs:
        raise ModelLoadError("the model has no output", hint="return a tensor from forward")
    return FunctionalModel(
        program=program,
        runtime=lowered.runtime,
        output=OutputSpec(program.outputs[0], 0),
        format=model_format,
        sha256=hashlib.sha256(data).hexdigest(),
        trainable=tuple(program.parameters),
        frozen={},
        dimension_names=lowered.dimension_names,
        batching=lowered.batching,
    )
