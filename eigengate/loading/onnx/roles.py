"""Which constants of a graph are parameters: ONNX does not say, so each is judged by where its value goes."""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import torch
from torch import Tensor

from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.naming import is_derived, is_invented, sounds_like_buffer


class Role(StrEnum):
    """What a constant is to the network; ``BUFFER`` is everything that is not trained."""

    WEIGHT = "weight"
    BIAS = "bias"
    SCALE = "scale"
    EMBEDDING = "embedding"
    BUFFER = "buffer"


# Input positions that hold parameters whatever their shape or name.
_POSITIONS: Mapping[str, Mapping[int, Role]] = {
    "Conv": {1: Role.WEIGHT, 2: Role.BIAS},
    "ConvTranspose": {1: Role.WEIGHT, 2: Role.BIAS},
    "DeformConv": {1: Role.WEIGHT, 3: Role.BIAS},
    "Gemm": {0: Role.WEIGHT, 1: Role.WEIGHT, 2: Role.BIAS},
    "MatMul": {0: Role.WEIGHT, 1: Role.WEIGHT},
    "FusedMatMul": {0: Role.WEIGHT, 1: Role.WEIGHT},
    "Einsum": dict.fromkeys(range(8), Role.WEIGHT),
    "RNN": {1: Role.WEIGHT, 2: Role.WEIGHT, 3: Role.BIAS},
    "GRU": {1: Role.WEIGHT, 2: Role.WEIGHT, 3: Role.BIAS},
    "LSTM": {1: Role.WEIGHT, 2: Role.WEIGHT, 3: Role.BIAS, 7: Role.WEIGHT},
    "Attention": {0: Role.WEIGHT, 1: Role.WEIGHT, 2: Role.WEIGHT},
    "BatchNormalization": {1: Role.SCALE, 2: Role.BIAS},
    "InstanceNormalization": {1: Role.SCALE, 2: Role.BIAS},
    "LayerNormalization": {1: Role.SCALE, 2: Role.BIAS},
    "GroupNormalization": {1: Role.SCALE, 2: Role.BIAS},
    "RMSNormalization": {1: Role.SCALE},
    "SimplifiedLayerNormalization": {1: Role.SCALE},
    "PRelu": {1: Role.SCALE},
    "Gather": {0: Role.EMBEDDING},
}
# Operators whose constant operand is a parameter only if it looks like one: masks and factors stand there too.
_LIKELY: Mapping[str, Role] = {
    "Add": Role.BIAS,
    "Mul": Role.SCALE,
    "Concat": Role.EMBEDDING,
    "Expand": Role.EMBEDDING,
    "Where": Role.EMBEDDING,
}
# Operators that hand a parameter on as it is, in another shape.
_CARRIERS = frozenset(
    {"Identity", "Cast", "Dropout"}
    | {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Slice", "Split", "Gather", "Concat"}
)
_TRAINED_KINDS, _UNTRAINED_KINDS = {"PARAMETER"}, {"BUFFER", "CONSTANT_TENSOR"}


def parameter_roles(graph: Graph) -> dict[str, Role]:
    """The role of every floating constant of the graph, by name, in the order in which the graph keeps them.

    A constant is trained if its value reaches, through constants alone, a place that holds parameters: the weight of
    a convolution or matrix product, a normalisation's scale, a looked-up table. Where constants also stand for masks
    and factors (additions, products, concatenations), only arrays of several finite numbers count, and names that say
    otherwise are believed. What the exporter itself declares (``Graph.declared``) is believed first.
    """
    nodes = list(graph.walk())
    varying = _varying(graph, nodes)
    flows: dict[str, tuple[Role, bool]] = {}
    for node in reversed(nodes):
        for name, flow in _claims(node, varying, flows):
            if flow[0] is not Role.BUFFER or name not in flows:
                flows[name] = flow
    floating = {name: value for name, value in graph.constants.items() if value.is_floating_point()}
    return {name: _judge(name, value, flows.get(name), graph) for name, value in floating.items()}


def _varying(graph: Graph, nodes: list[Node]) -> set[str]:
    """Names whose value, not only whose shape, depends on what is fed."""
    varying = {spec.name for spec in graph.inputs}
    for node in nodes:
        varying.update(spec.name for subgraph in node.subgraphs for spec in subgraph.inputs)
    for node in nodes:
        inner = {name for subgraph in node.subgraphs for name in (*subgraph.captured, *subgraph.outputs)}
        if node.operator not in ("Shape", "Size") and not varying.isdisjoint({*node.inputs, *inner}):
            varying.update(node.outputs)
    return varying - {""}


def _claims(
    node: Node, varying: set[str], flows: Mapping[str, tuple[Role, bool]]
) -> Iterator[tuple[str, tuple[Role, bool]]]:
    """For each constant operand its role here, and whether the position alone makes it certain."""
    meets_data = not varying.isdisjoint(node.inputs)
    inherited = next((flows[name] for name in node.outputs if name in flows), None)
    for position, name in enumerate(node.inputs):
        if not name or name in varying:
            continue
        if not meets_data:
            if inherited is not None:
                yield name, (inherited[0], inherited[1] and node.operator in _CARRIERS)
        elif position in (certain := _POSITIONS.get(node.operator, {})):
            yield name, (certain[position], True)
        elif node.operator in _LIKELY:
            yield name, (_LIKELY[node.operator], False)
        else:
            yield name, (Role.BUFFER, True)


def _judge(name: str, value: Tensor, flow: tuple[Role, bool] | None, graph: Graph) -> Role:
    role, certain = flow or (Role.BUFFER, True)
    kind = graph.declared.get(name)
    if role is Role.BUFFER or kind in _UNTRAINED_KINDS:
        return Role.BUFFER
    if kind not in _TRAINED_KINDS and _is_filler(role, name, value, graph):
        return Role.BUFFER
    if certain or kind in _TRAINED_KINDS:
        return role
    return role if name not in graph.literals and _looks_trained(name, value) else Role.BUFFER


def _looks_trained(name: str, value: Tensor) -> bool:
    if sounds_like_buffer(name) or not bool(torch.isfinite(value).all()):
        return False
    return value.numel() > 1 or not (is_invented(name) or is_derived(name))


def _is_filler(role: Role, name: str, value: Tensor, graph: Graph) -> bool:
    """Whether an exporter put ones or zeros where an operator wants a scale and shift the network does not have."""
    invented = is_invented(name) or name in graph.literals
    return role in (Role.SCALE, Role.BIAS) and invented and (bool((value == 0).all()) or bool((value == 1).all()))
