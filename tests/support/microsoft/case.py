"""One node with its operands, as a model and as a name to fail under."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor


@final
@dataclass(frozen=True)
class MicrosoftCase:
    """An operator on given operands; one that is absent is None, an output that is not wanted has no name.

    Args:
        name: What it shows.
        operator: In ``domain``.
        operands: In the operator's order.
        attributes: Of the node.
        outputs: In the operator's order.
        integers: Those of them that are no floating tensors but int32.
        meaningful: Where only some elements of an output are specified: an index of these.
        constants: Positions of operands that are part of the model instead of fed.
    """

    name: str
    operator: str
    operands: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    integers: frozenset[str] = frozenset()
    meaningful: Mapping[str, Any] = field(default_factory=dict)
    constants: frozenset[int] = frozenset()
    domain: str = "com.microsoft"
    opset: int = 18

    @cached_property
    def model(self) -> onnx.ModelProto:
        names = ["" if value is None else f"x{position}" for position, value in enumerate(self.operands)]
        node = helper.make_node(self.operator, names, self.outputs, domain=self.domain, **self.attributes)
        arrays = {name: value for name, value in zip(names, self.operands, strict=True) if name}
        frozen = [f"x{position}" for position in self.constants]
        graph = helper.make_graph(
            [node],
            "one_node",
            [_described(name, value) for name, value in arrays.items() if name not in frozen],
            [self._output(name) for name in self.outputs if name],
            [onnx.numpy_helper.from_array(arrays[name], name) for name in frozen],
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    @property
    def inputs(self) -> list[Tensor]:
        """What the model is fed."""
        fed = (value for place, value in enumerate(self.operands) if place not in self.constants)
        return [torch.from_numpy(np.array(value)) for value in fed if value is not None]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The outputs that have names, in order."""
        return tuple(name for name in self.outputs if name)

    def specified(self, name: str, value: Tensor) -> Tensor:
        """The elements of an output that the operator specifies."""
        return value[self.meaningful[name]] if name in self.meaningful else value

    def _output(self, name: str) -> onnx.ValueInfoProto:
        kind = TensorProto.INT32 if name in self.integers else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, None)


def _described(name: str, value: Any) -> onnx.ValueInfoProto:
    array = np.asarray(value)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
