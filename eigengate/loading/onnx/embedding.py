"""The graph of a network opened at its first embedding, and the graph in front of it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, final

from eigengate.loading.lookup import Lookup, Operation, first_lookup
from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.program import TensorSpec

_CARRIERS: Final = frozenset(
    {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Expand", "Clip"}
    | {"Max", "Min", "Add", "Sub"}
)
_SHAPE_READERS: Final = frozenset({"Shape", "Size", "ConstantOfShape"})
_VERSION: Final = 14  # of Add, Sub and Reshape


@final
@dataclass(frozen=True)
class OpenedGraph:
    """What the embedding looks up in and by, the graph in front of it and the graph opened at it."""

    weight: str
    input: str
    indices: Graph
    opened: Graph


def opened_graph(graph: Graph, parameters: Collection[str]) -> OpenedGraph | None:
    """The graph opened at its first lookup of an integer input; None if there is none.

    Lookups inside branches and loops are not found.
    """
    integers = {spec.name: spec.name for spec in graph.inputs if not spec.dtype.is_floating_point}
    found = first_lookup(map(_operation, graph.nodes), integers, parameters)
    if found is None:
        return None
    indices = replace(graph, nodes=graph.nodes[: found.place], outputs=(found.indices,))
    return OpenedGraph(found.table, found.input, indices, _opened(graph, found))


def _operation(node: Node) -> Operation:
    captured = {name for subgraph in node.subgraphs for name in subgraph.captured}
    reads = () if node.domain == "" and node.operator in _SHAPE_READERS else [*node.inputs, *captured]
    is_lookup = (node.domain, node.operator) == ("", "Gather") and node.attributes.get("axis", 0) == 0
    return Operation(
        reads=[name for name in reads if name],
        makes=[name for name in node.outputs if name],
        hands_on=node.domain == "" and node.operator in _CARRIERS,
        table=node.inputs[0] if is_lookup else "",
        indices=node.inputs[1] if is_lookup else "",
    )


def _opened(graph: Graph, found: Lookup) -> Graph:
    lookup = graph.nodes[found.place]
    (rows,) = lookup.outputs
    given, own = f"{found.table}[{found.input}]", f"{found.table}@own"
    looked, at_start, change, shape, fitted = (
        f"{rows}@{part}" for part in ("looked_up", "own", "change", "shape", "given")
    )
    nodes = (
        replace(lookup, outputs=(looked,)),
        replace(lookup, name=at_start, inputs=(own, *lookup.inputs[1:]), outputs=(at_start,)),
        _node("Sub", (looked, at_start), change),
        _node("Shape", (looked,), shape),
        _node("Reshape", (given, shape), fitted),
        _node("Add", (fitted, change), rows),
    )
    table = graph.constants[found.table]
    return replace(
        graph,
        inputs=(*graph.inputs, TensorSpec(given, table.dtype)),
        nodes=(*graph.nodes[: found.place], *nodes, *graph.nodes[found.place + 1 :]),
        constants={**graph.constants, own: table},
    )


def _node(operator: str, inputs: tuple[str, ...], output: str) -> Node:
    return Node("", operator, _VERSION, output, inputs, (output,))
