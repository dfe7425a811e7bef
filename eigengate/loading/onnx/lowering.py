"""From bytes to a program and its witness."""

import onnx
from google.protobuf.message import DecodeError

from eigengate.errors import ModelLoadError
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
    try:
        model = onnx.load_from_string(data)
    except (DecodeError, ValueError, RuntimeError, TypeError) as error:
        raise ModelLoadError(f"the bytes are no ONNX model: {error}") from error
    if not model.HasField("graph"):
        raise ModelLoadError("the ONNX file holds no graph")
    refuse_broken_text(model)
    refuse_external_data(model)
    refuse_opset(model)
    refuse_foreign_inputs(model)
    refuse_quantized(model)
    return Lowered(OnnxProgram(model), OnnxRuntime(data))
