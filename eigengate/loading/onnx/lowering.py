"""From bytes to a program and its witness."""

import onnx
from google.protobuf.message import DecodeError

from eigengate.errors import ModelLoadError
from eigengate.loading.onnx.bundle import LARGEST_MESSAGE, open_bundle
from eigengate.loading.onnx.dimensions import dimension_names
from eigengate.loading.onnx.program import OnnxProgram
from eigengate.loading.onnx.refusals import (
    refuse_broken_text,
    refuse_external_data,
    refuse_foreign_inputs,
    refuse_opset,
    refuse_quantized,
)
from eigengate.loading.onnx.runtime import OnnxRuntime
from eigengate.loading.program import Lowered


def read_onnx(data: bytes) -> Lowered:
    """Lower an ONNX file, given as bytes: nothing outside them is read.

    Raises:
        ModelLoadError: the bytes are no consistent model, keep data elsewhere, or use a foreign opset.
        QuantizedModelError: the model is quantised.
        UnsupportedOperatorError: some nodes have no function; all of them are listed.
    """
    model = _parsed(data)
    refuse_external_data(model)
    return Lowered(OnnxProgram(model), OnnxRuntime(data), dimension_names(model))


def read_onnx_bundle(data: bytes) -> Lowered:
    """Lower an archive of an ONNX file and the data files that its tensors refer to; nothing outside it is read.

    Raises:
        UnsupportedFormatError: there is no ONNX model in the archive.
        ModelLoadError: as for ``read_onnx``, or the archive is damaged, hostile, or lacks data that the model wants.
        QuantizedModelError: the model is quantised.
        UnsupportedOperatorError: some nodes have no function; all of them are listed.
    """
    bundle = open_bundle(data)
    model = _parsed(bundle.model)
    program = OnnxProgram(bundle.whole(model))
    return Lowered(program, OnnxRuntime(*bundle.parted(model)), dimension_names(model))


def _parsed(data: bytes) -> onnx.ModelProto:
    if len(data) > LARGEST_MESSAGE:
        raise ModelLoadError(
            f"the model file has {len(data):,} bytes, more than the {LARGEST_MESSAGE:,} that the format allows",
            hint="Save it with save_as_external_data=True and pack model and data files into one archive.",
        )
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError, RuntimeError, TypeError) as error:
        raise ModelLoadError(f"the bytes are no ONNX model: {error}") from error
    if not model.HasField("graph"):
        raise ModelLoadError("the ONNX file holds no graph")
    refuse_broken_text(model)
    refuse_opset(model)
    refuse_foreign_inputs(model)
    refuse_quantized(model)
    return model
