"""Models of one ONNX node, some of whose operands are fed and others fixed: torch tensors and numpy arrays."""

from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram, OnnxRuntime
from tests.support.operator_derivatives import check_every_derivative
from tests.support.single_nodes import element_type

Operand = Tensor | np.ndarray | None

# Sums of up to a hundred products of single precision, with weights that onnxruntime computes in single precision too.
SINGLE = {"rtol": 1e-4, "atol": 2e-5}


def node(operator: str, *operands: Operand, opset: int, outputs: int = 1, **attributes: Any) -> onnx.ModelProto:
    """A model of one node; tensors are its inputs, arrays its constants, None stands for an absent operand."""
    names = ["" if value is None else f"x{place}" for place, value in enumerate(operands)]
    made = [f"y{place}" for place in range(outputs)]
    given = dict(zip(names, operands, strict=True))
    fed = [
        helper.make_tensor_value_info(name, element_type(value.dtype), list(value.shape))
        for name, value in given.items()
        if isinstance(value, Tensor)
    ]
    fixed = [numpy_helper.from_array(value, name) for name, value in given.items() if isinstance(value, np.ndarray)]
    graph = helper.make_graph(
        [helper.make_node(operator, names, made, **attributes)],
        "single",
        fed,
        [helper.make_empty_tensor_value_info(name) for name in made],
        fixed,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def tensors(*operands: Operand) -> list[Tensor]:
    """The operands that are fed."""
    return [value for value in operands if isinstance(value, Tensor)]


def program(operator: str, *operands: Operand, opset: int, outputs: int = 1, **attributes: Any) -> OnnxProgram:
    """Our program for the node."""
    return OnnxProgram(node(operator, *operands, opset=opset, outputs=outputs, **attributes))


def run(operator: str, *operands: Operand, opset: int, **attributes: Any) -> Tensor:
    """The one output of our program for the node."""
    ours = program(operator, *operands, opset=opset, **attributes)
    return ours(ours.parameters, *tensors(*operands))[0]


def agree(operator: str, *operands: Operand, opset: int, outputs: int = 1, **attributes: Any) -> None:
    """Types, shapes and values of all outputs are those of onnxruntime."""
    model = node(operator, *operands, opset=opset, outputs=outputs, **attributes)
    ours = OnnxProgram(model)
    results = ours(ours.parameters, *tensors(*operands))
    for one, other in zip(results, OnnxRuntime(model.SerializeToString())(*tensors(*operands)), strict=True):
        torch.testing.assert_close(one, other, **(SINGLE if one.is_floating_point() else {}), equal_nan=True)


def differentiate(operator: str, *operands: Operand, opset: int, outputs: int = 1, **attributes: Any) -> None:
    """Every kind of derivative by the floating operands that are fed."""
    ours = program(operator, *operands, opset=opset, outputs=outputs, **attributes)
    check_every_derivative(ours, tensors(*operands))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of single precision."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
