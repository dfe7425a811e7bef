"""One case of the standard: a small model, what goes in, what must come out."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram
from eigengate.loading.onnx.dtypes import read_tensor

_NUMERIC = {
    "FLOAT", "DOUBLE", "FLOAT16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class NodeCase:
    """A case with its values in torch's terms; sequences are lists, empty optionals are None."""

    name: str
    model: onnx.ModelProto
    rtol: float
    atol: float
    data: Any

    @cached_property
    def inputs(self) -> list[Any]:
        return [_value(given, declared) for given, declared in zip(self.data[0], self._fed, strict=True)]

    @cached_property
    def outputs(self) -> list[Any]:
        declared = self.model.graph.output
        return [_value(given, output) for given, output in zip(self.data[1], declared, strict=True)]

    @property
    def _fed(self) -> Sequence[onnx.ValueInfoProto]:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return [value for value in self.model.graph.input if value.name not in constants]

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Element types of the tensors that go in and come out; ``sequence_type`` and the like for the others."""
        values = [*self.model.graph.input, *self.model.graph.output]
        return frozenset(_kind(value.type) for value in values)

    @property
    def domains(self) -> frozenset[str]:
        return frozenset(entry.domain for entry in self.model.opset_import) - {""}

    @property
    def ordinary(self) -> bool:
        """Whether it holds nothing but plain numeric tensors and operators of the standard domain."""
        return self.kinds <= _NUMERIC and self.domains <= {"ai.onnx"}

    @property
    def operator(self) -> str:
        """The operator it is about; of an expanded case, the one whose function body it spells out."""
        nodes = self.model.graph.node
        return nodes[0].op_type if len(nodes) == 1 else self.name.removeprefix("test_")

    def program(self) -> OnnxProgram:
        return OnnxProgram(self.model)


@cache
def node_cases() -> tuple[NodeCase, ...]:
    """Every case the installed ``onnx`` generates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard's own reference code overflows on purpose
        collected = [case for case in collect_testcases(None) if case.model is not None]
    return tuple(NodeCase(c.name, c.model, c.rtol, c.atol, c.data_sets[0]) for c in collected)


def _kind(declared: onnx.TypeProto) -> str:
    kind = str(declared.WhichOneof("value"))
    return TensorProto.DataType.Name(declared.tensor_type.elem_type) if kind == "tensor_type" else kind


def _value(given: Any, declared: onnx.ValueInfoProto) -> Any:
    kind = declared.type.WhichOneof("value")
    if given is None:
        return None
    if kind == "sequence_type" or isinstance(given, list):
        return [_tensor(element) for element in given]
    if kind == "optional_type" and isinstance(given, np.ndarray) and given.dtype == object:
        return None if given.item() is None else _tensor(given.item())
    return _tensor(given)


def _tensor(given: Any) -> Tensor:
    if isinstance(given, TensorProto):
        return read_tensor(given)
    if isinstance(given, torch.Tensor):
        return given
    return read_tensor(numpy_helper.from_array(np.asarray(given)))
