"""A node bound to its function: attributes converted once, operands converted as they come."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

import torch
from onnx import TensorProto
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.onnx.dtypes import torch_dtype
from eigengate.loading.onnx.graph import Attribute, Node
from eigengate.loading.onnx.placement import Placement
from eigengate.loading.onnx.registry import Body, Floats, Ints, Operator, Result

Kernel = Callable[..., Result]
"""What a node does: ``kernel(*operands, **subgraphs)``."""


def _number(value: Tensor) -> Any:
    return value.reshape(()).tolist()


_READERS: Mapping[Any, Callable[[Tensor], Any]] = {
    Ints: lambda value: tuple(int(number) for number in value.reshape(-1).tolist()),
    Floats: lambda value: tuple(float(number) for number in value.reshape(-1).tolist()),
    int: lambda value: int(_number(value)),
    float: lambda value: float(_number(value)),
    bool: lambda value: bool(_number(value)),
}


def bind(op: Operator, node: Node, placement: Placement) -> Kernel:
    """The node as a function of its operands, and of its subgraphs by keyword."""
    readers = _operand_readers(op, len(node.inputs))
    attributes = _attributes(op, node, placement)
    mixes_devices = placement.device.type != "cpu"
    plain: Kernel = partial(op.function, **attributes) if attributes else op.function
    if not readers and not mixes_devices:
        return plain  # most nodes of most networks: nothing stands between them and their function

    def kernel(*operands: Any, **bodies: Body) -> Result:
        values = list(operands)
        for position, read in readers:
            if values[position] is not None:
                values[position] = read(values[position])
        return plain(*(placement.meet(values) if mixes_devices else values), **bodies)

    return kernel


def _operand_readers(op: Operator, count: int) -> list[tuple[int, Callable[[Tensor], Any]]]:
    parameters = [op.inputs[min(position, len(op.inputs) - 1)] for position in range(count)]
    readers = ((position, _READERS.get(_without_none(p.annotation))) for position, p in enumerate(parameters))
    return [(position, read) for position, read in readers if read is not None]


def _attributes(op: Operator, node: Node, placement: Placement) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    for name, parameter in op.attributes.items():
        wanted = _without_none(parameter.annotation)
        if wanted == Body:
            continue
        undefined = wanted is torch.dtype and node.attributes.get(name) == TensorProto.UNDEFINED  # as good as absent
        if name in node.attributes and not undefined:
            bound[name] = _convert(node.attributes[name], wanted, placement, f"attribute '{name}' of {node.label}")
        elif wanted is torch.dtype and parameter.default is not None:
            bound[name] = placement.dtype(parameter.default)
    if "outputs" in op.signature.parameters:
        bound["outputs"] = len(node.outputs)
    return bound


def _convert(value: Attribute, wanted: Any, placement: Placement, what: str) -> Any:
    if wanted is torch.dtype and isinstance(value, int):
        return placement.dtype(torch_dtype(value))
    if wanted is Tensor and isinstance(value, Tensor):
        return placement.place(value)
    if wanted is float and isinstance(value, int):
        return float(value)
    if wanted in (int, float, str) and isinstance(value, wanted):
        return value
    if wanted in (Ints, Floats, tuple[str, ...]) and isinstance(value, tuple):
        return value
    raise ModelLoadError(f"{what} has type {type(value).__name__}, where {wanted} belongs")


def _without_none(annotation: Any) -> Any:
    members = [member for member in get_args(annotation) if member is not type(None)]
    is_optional = type(None) in get_args(annotation)
    return members[0] if is_optional else annotation
