"""Models of one ONNX node, fed with tensors of any type."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram, OnnxRuntime


def element_type(dtype: torch.dtype) -> int:
    """The ONNX element type of a torch dtype."""
    if dtype is torch.bfloat16:  # numpy has no such type
        return TensorProto.BFLOAT16
    return helper.np_dtype_to_tensor_dtype(np.dtype(str(dtype).removeprefix("torch.")))


def node_model(
    operator: str, *inputs: Tensor | None, opset: int, outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """A model of one node that is fed all its operands; None stands for an absent one."""
    names = ["" if value is None else f"x{place}" for place, value in enumerate(inputs)]
    made = [f"y{place}" for place in range(outputs)]
    fed = [
        helper.make_tensor_value_info(name, element_type(value.dtype), list(value.shape))
        for name, value in zip(names, inputs, strict=True)
        if value is not None
    ]
    node = helper.make_node(operator, names, made, **attributes)
    graph = helper.make_graph([node], "single", fed, [helper.make_empty_tensor_value_info(name) for name in made])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node_program(operator: str, *inputs: Tensor | None, opset: int, outputs: int = 1, **attributes: Any) -> OnnxProgram:
    """Our program for the node."""
    return OnnxProgram(node_model(operator, *inputs, opset=opset, outputs=outputs, **attributes))


def run_node(operator: str, *inputs: Tensor | None, opset: int, outputs: int = 1, **attributes: Any) -> Any:
    """What our program gives for the node: one tensor, or a tuple of several."""
    program = node_program(operator, *inputs, opset=opset, outputs=outputs, **attributes)
    results = program(program.parameters, *given(inputs))
    return results[0] if outputs == 1 else results


def assert_agrees_with_onnxruntime(
    operator: str, *inputs: Tensor | None, opset: int, outputs: int = 1, **attributes: Any
) -> None:
    """Types, shapes and values of all outputs."""
    model = node_model(operator, *inputs, opset=opset, outputs=outputs, **attributes)
    program = OnnxProgram(model)
    ours = program(program.parameters, *given(inputs))
    theirs = OnnxRuntime(model.SerializeToString())(*given(inputs))
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        # Elementary functions and sums of a few dozen terms differ in the last digits of float32, or of float16.
        tolerance = 2e-3 if one.dtype is torch.float16 else 2e-6
        torch.testing.assert_close(one.double(), other.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def given(inputs: Sequence[Tensor | None]) -> list[Tensor]:
    """The operands that are there."""
    return [value for value in inputs if value is not None]
