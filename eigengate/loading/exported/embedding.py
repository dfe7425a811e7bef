"""The graph of a network opened at its first embedding, and the graph in front of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

from eigengate.loading.exported.graph import ATEN, Graph, Node, Ref
from eigengate.loading.exported.inlining import inlined
from eigengate.loading.lookup import Lookup, Operation, first_lookup
from eigengate.loading.torchscript.embedding import CARRIERS, SHAPE_READERS

_SYMBOLIC_SIZES: Final = frozenset({"aten::sym_size", "aten::sym_numel", "aten::sym_stride"})


@final
@dataclass(frozen=True)
class OpenedGraph:
    """What the embedding looks up in and by, and the graphs in front of it and opened at it.

    Args:
        table: The graph's input that is the table.
        input: Name of the input that is looked up.
        indices: The value that says which rows.
        front: The nodes in front of the lookup.
        opened: The graph with two more inputs, ``own`` and ``given``.
        own: The table that the change of the table is measured from.
        given: What takes the place of the rows.
    """

    table: str
    input: str
    indices: str
    front: Graph
    opened: Graph
    own: str
    given: str


def opened_graph(graph: Graph, integers: frozenset[str], parameters: Mapping[str, str]) -> OpenedGraph | None:
    """The graph opened at its first lookup of an integer input; None if there is none.

    Lookups inside branches are not found.

    Args:
        graph: The graph.
        integers: Names of its integer inputs.
        parameters: Parameter name by value name.
    """
    flat = inlined(graph)
    found = first_lookup(map(_operation, flat.nodes), {name: name for name in integers}, parameters)
    if found is None:
        return None
    front = replace(flat, nodes=flat.nodes[: found.place], outputs=(Ref(found.indices),))
    own, given = f"{found.table}@own", f"{parameters[found.table]}[{found.input}]"
    return OpenedGraph(found.table, found.input, found.indices, front, _opened(flat, found, own, given), own, given)


def _operation(node: Node) -> Operation:
    table, indices = _looked_up(node)
    sees_shapes = node.operator in SHAPE_READERS or node.operator in _SYMBOLIC_SIZES
    return Operation(
        reads=() if sees_shapes else list(_references(node.positional)),
        makes=list(node.made()),
        hands_on=node.operator in CARRIERS,
        table=table,
        indices=indices,
    )


def _looked_up(node: Node) -> tuple[str, str]:
    """The table and the indices of a lookup of rows: an embedding, ``index_select(0, ids)``, ``table[ids]``."""
    match node.operator, node.positional:
        case "aten::embedding", (Ref(table), Ref(indices), *_):
            return table, indices
        case "aten::index_select", (Ref(table), 0, Ref(indices)):
            return table, indices
        case "aten::index", (Ref(table), [Ref(indices)]):
            return table, indices
    return "", ""


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def _opened(graph: Graph, found: Lookup, own: str, given: str) -> Graph:
    lookup = graph.nodes[found.place]
    (rows,) = lookup.made()
    looked, at_start, change, fitted = (f"{rows}@{part}" for part in ("looked_up", "own", "change", "given"))
    (table, _), *rest = lookup.arguments
    nodes = (
        replace(lookup, outputs=(looked,)),
        replace(lookup, arguments=((table, Ref(own)), *rest), outputs=(at_start,)),
        _applied("sub.Tensor", looked, at_start, change),
        _applied("reshape_as.default", given, looked, fitted),
        _applied("add.Tensor", fitted, change, rows),
    )
    return replace(
        graph,
        inputs=(*graph.inputs, own, given),
        nodes=(*graph.nodes[: found.place], *nodes, *graph.nodes[found.place + 1 :]),
    )


def _applied(operator: str, one: str, other: str, output: str) -> Node:
    return Node(f"{ATEN}{operator}", (("self", Ref(one)), ("other", Ref(other))), (output,))
