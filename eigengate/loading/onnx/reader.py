"""A ``ModelProto`` read into a ``Graph``: functions expanded, literals decoded, the proto left as it was."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

import onnx
import torch
from onnx import AttributeProto
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.onnx.declarations import declared_kinds
from eigengate.loading.onnx.dtypes import read_sparse_tensor, read_tensor, torch_dtype
from eigengate.loading.onnx.functions import (
    FunctionKey,
    Scope,
    function_key,
    opset_versions,
    plain_domain,
    standard_function,
)
from eigengate.loading.onnx.graph import Attribute, Graph, Node
from eigengate.loading.onnx.registry import find_operator
from eigengate.loading.program import TensorSpec

# Functions that call functions twice double the graph at every level; no real network comes near these.
MAX_NODES = 100_000
MAX_CALL_DEPTH = 32
# onnxruntime's optimisers write nodes of its own domain without importing it; it has one version.
_WITHOUT_IMPORT = ("com.microsoft",)


def read_graph(model: onnx.ModelProto) -> Graph:
    """Read the main graph of a model.

    Raises:
        ModelLoadError: a tensor, type or name in it makes no sense.
    """
    functions = {function_key(function): function for function in model.functions}
    scope = Scope(opset_versions(model.opset_import))
    return _Reader(functions).graph(model.graph, scope)


@final
@dataclass
class _Literals:
    """Constants met while reading one graph."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    from_nodes: set[str] = field(default_factory=set)


@final
class _Reader:
    def __init__(self, functions: Mapping[FunctionKey, onnx.FunctionProto]) -> None:
        self._functions = functions
        self._nodes_read = 0

    def graph(self, proto: onnx.GraphProto, scope: Scope) -> Graph:
        literals = _Literals()
        for initializer in proto.initializer:
            literals.tensors[scope.name(initializer.name)] = read_tensor(initializer)
        for sparse in proto.sparse_initializer:
            literals.tensors[scope.name(sparse.values.name)] = read_sparse_tensor(sparse)
        nodes = tuple(self._nodes(proto.node, scope, literals))
        fed = [value for value in proto.input if scope.name(value.name) not in literals.tensors]
        return Graph(
            inputs=tuple(_spec(value, scope) for value in fed),
            outputs=tuple(scope.name(value.name) for value in proto.output),
            nodes=nodes,
            constants=literals.tensors,
            literals=frozenset(literals.from_nodes),
            declared=declared_kinds(proto),
        )

    def _nodes(self, protos: Iterable[onnx.NodeProto], scope: Scope, literals: _Literals) -> Iterable[Node]:
        for proto in protos:
            self._nodes_read += 1
            if self._nodes_read > MAX_NODES:
                raise ModelLoadError(f"the model expands to more than {MAX_NODES} nodes")
            node = self._node(proto, scope)
            if not node.outputs:
                raise ModelLoadError(f"node '{node.label}' ({node.qualified}) has no output")
            if node.domain == "" and node.operator == "Constant":
                name = node.outputs[0]
                literals.tensors[name] = _literal(proto, scope)
                literals.from_nodes.add(name)
            elif (function := self._body(node, proto.overload)) is not None:
                if function_key(function) in scope.calls:
                    raise ModelLoadError(f"function {node.qualified} calls itself")
                if len(scope.calls) >= MAX_CALL_DEPTH:
                    raise ModelLoadError(f"functions call each other more than {MAX_CALL_DEPTH} deep")
                inner = scope.enter(function, proto, f"{node.label}#{self._nodes_read}/")
                yield from self._nodes(function.node, inner, literals)
            else:
                yield node

    def _body(self, node: Node, overload: str) -> onnx.FunctionProto | None:
        if local := self._functions.get((node.domain, node.operator, overload)):
            return local
        return None if find_operator(node) else standard_function(node.domain, node.operator, node.version)

    def _node(self, proto: onnx.NodeProto, scope: Scope) -> Node:
        domain = plain_domain(proto.domain)
        imported = domain in scope.opsets or domain in _WITHOUT_IMPORT
        if not imported and (domain, proto.op_type, proto.overload) not in self._functions:
            raise ModelLoadError(f"node '{proto.name}' uses domain '{domain or 'ai.onnx'}', which has no opset import")
        is_literal = domain == "" and proto.op_type == "Constant"
        given = [] if is_literal else [scope.resolve(attribute) for attribute in proto.attribute]
        return Node(
            domain=domain,
            operator=proto.op_type,
            version=scope.opsets.get(domain, 1),
            name=scope.prefix + proto.name if proto.name else "",
            inputs=tuple(scope.name(name) for name in proto.input),
            outputs=tuple(scope.name(name) for name in proto.output),
            attributes={
                name: self._attribute(value, scope)
                for name, value in zip((a.name for a in proto.attribute), given, strict=False)
                if value is not None
            },
        )

    def _attribute(self, proto: AttributeProto, scope: Scope) -> Attribute:
        match proto.type:
            case AttributeProto.FLOAT:
                return proto.f
            case AttributeProto.INT:
                return proto.i
            case AttributeProto.STRING:
                return proto.s.decode("utf-8", "replace")
            case AttributeProto.TENSOR:
                return read_tensor(proto.t)
            case AttributeProto.GRAPH:
                return self.graph(proto.g, scope)
            case AttributeProto.FLOATS:
                return tuple(proto.floats)
            case AttributeProto.INTS:
                return tuple(proto.ints)
            case AttributeProto.TYPE_PROTO:
                return str(proto.tp.WhichOneof("value"))
            case AttributeProto.STRINGS:
                return tuple(text.decode("utf-8", "replace") for text in proto.strings)
            case _:
                kind = AttributeProto.AttributeType.Name(proto.type)
                raise ModelLoadError(f"attribute '{proto.name}' has type {kind}, which cannot be read")


def _literal(proto: onnx.NodeProto, scope: Scope) -> Tensor:
    given = [value for value in map(scope.resolve, proto.attribute) if value is not None]
    if len(given) != 1:
        raise ModelLoadError(f"Constant node '{proto.name}' has {len(given)} values, not one")
    attribute = given[0]
    match attribute.type:
        case AttributeProto.TENSOR:
            return read_tensor(attribute.t)
        case AttributeProto.SPARSE_TENSOR:
            return read_sparse_tensor(attribute.sparse_tensor)
        case AttributeProto.FLOAT:
            return torch.tensor(attribute.f, dtype=torch.float32)
        case AttributeProto.FLOATS:
            return torch.tensor(list(attribute.floats), dtype=torch.float32)
        case AttributeProto.INT:
            return torch.tensor(attribute.i, dtype=torch.int64)
        case AttributeProto.INTS:
            return torch.tensor(list(attribute.ints), dtype=torch.int64)
        case _:
            raise ModelLoadError(
                f"Constant node '{proto.name}' holds text", hint="Only numeric tensors can be audited."
            )


def _spec(value: onnx.ValueInfoProto, scope: Scope) -> TensorSpec:
    tensor_type = _element_type(value.type)
    # Inputs of a loop body may leave their type to inference.
    dtype = torch_dtype(tensor_type.elem_type) if tensor_type.elem_type else torch.float32
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor_type.shape.dim]
    return TensorSpec(scope.name(value.name), dtype, tuple(sizes) if tensor_type.HasField("shape") else None)


def _element_type(declared: onnx.TypeProto) -> onnx.TypeProto.Tensor:
    """The type of the tensors in it: of a tensor its own, of a sequence or an optional that of its elements."""
    match declared.WhichOneof("value"):
        case "sequence_type":
            return _element_type(declared.sequence_type.elem_type)
        case "optional_type":
            return _element_type(declared.optional_type.elem_type)
        case "map_type" | "opaque_type" | "sparse_tensor_type":
            raise ModelLoadError(
                f"a value has the type {declared.WhichOneof('value')}", hint="Maps and sparse inputs cannot be audited."
            )
        case _:
            return declared.tensor_type
