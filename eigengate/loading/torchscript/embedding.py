"""The graph of a network opened at its first embedding, and the graph in front of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from torch import Tensor

from eigengate.loading.lookup import Lookup, Operation, first_lookup, lookups
from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.torch_graph import parse_schema

CARRIERS: Final = frozenset(
    f"aten::{name}{suffix}"
    for name in {"to", "type_as", "long", "int", "_cast_Long", "_to_copy", "contiguous", "clone", "detach", "alias"}
    | {"view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "expand", "transpose", "permute", "t"}
    | {"slice", "select", "narrow", "chunk", "split", "unbind", "clamp", "clamp_min", "clamp_max", "add", "sub"}
    for suffix in ("", "_")
)
SHAPE_READERS: Final = frozenset(
    {"prim::dtype", "prim::device", "prim::shape"}
    | {f"aten::{name}" for name in ("size", "sym_size", "dim", "len", "numel", "sym_numel")}
    | {f"aten::{name}_like" for name in ("zeros", "ones", "empty", "full", "rand", "randn")}
    | {f"aten::new_{name}" for name in ("zeros", "ones", "empty", "full")}
)
_STRUCTURE: Final = frozenset(
    {"prim::ListConstruct", "prim::ListUnpack", "prim::TupleConstruct", "prim::TupleUnpack", "prim::TupleIndex"}
)
_ALPHA: Final = "#1"


@final
@dataclass(frozen=True)
class OpenedNetwork:
    """What the embedding looks up in and by, the name of the indices, the graphs in front of it and opened at it."""

    weight: str
    input: str
    indices: str
    front: Network
    opened: Network
    name: str
    """Of the additional input."""


def opened_network(
    network: Network, integers: Mapping[str, str], parameters: Mapping[str, Tensor]
) -> OpenedNetwork | None:
    """The network opened at its first lookup of an integer input; None if there is none.

    Lookups inside branches and loops are not found.

    Args:
        network: The lifted graph.
        integers: Name of the integer input by value name.
        parameters: The tables as the file has them, by parameter name.
    """
    nodes = network.body.nodes
    found = first_lookup(_operations(network), integers, network.parameters)
    if found is None:
        return None
    weight = network.parameters[found.table]
    name = f"{weight}[{found.input}]"
    # What stands in front of it is computed without the lookup: it would fail with an index that is out of range.
    front = replace(network, body=replace(network.body, nodes=nodes[: found.place], returns=[found.indices]))
    opened = _opened(network, found, (name, parameters[weight]))
    return OpenedNetwork(weight, found.input, found.indices, front, opened, name)


def indices_of(network: Network) -> set[str]:
    """The inputs, by value name, that are looked up as they are: whole numbers, whatever the file says of them."""
    inputs = {value: value for value in network.body.parameters}
    return {lookup.input for lookup in lookups(_operations(network), inputs, network.parameters) if lookup.is_plain}


def _operations(network: Network) -> Iterator[Operation]:
    return (_operation(node, network) for node in network.body.nodes)


def _operation(node: Node, network: Network) -> Operation:
    reads = set(node.inputs).union(*(block.reads() for block in node.blocks))
    table, indices = _looked_up(node, network)
    return Operation(
        reads=() if node.operator in SHAPE_READERS else reads,
        makes=node.outputs,
        hands_on=node.operator in CARRIERS or node.operator in _STRUCTURE,
        table=table,
        indices=indices,
    )


def _looked_up(node: Node, network: Network) -> tuple[str, str]:
    """The table and the indices of a lookup of rows: an embedding, ``index_select(0, ids)``, ``table[ids]``."""
    match node.operator, node.inputs:
        case "aten::embedding", [table, indices, *_]:
            return table, indices
        case "aten::index_select", [table, dimension, indices] if network.known.get(dimension) == 0:
            return table, indices
        case "aten::index", [table, several] if len(network.tuples.get(several, ())) == 1:
            return table, network.tuples[several][0]
    return "", ""


def _opened(network: Network, found: Lookup, given: tuple[str, Tensor]) -> Network:
    name, table = given
    lookup = network.body.nodes[found.place]
    own = f"{found.table}@own"
    nodes = [*network.body.nodes[: found.place], *_exchanged(lookup, own, name), *network.body.nodes[found.place + 1 :]]
    made = [value for node in nodes[found.place : found.place + 5] for value in node.outputs]
    return replace(
        network,
        body=replace(network.body, nodes=nodes, parameters=[*network.body.parameters, name]),
        kinds={**network.kinds, **dict.fromkeys([name, own, *made], "TensorType"), _ALPHA: "IntType"},
        known={**network.known, _ALPHA: 1},
        buffers={**network.buffers, own: (own, table)},
    )


def _exchanged(lookup: Node, own: str, given: str) -> Sequence[Node]:
    """The nodes that make E + (θ[indices] - θ₀[indices]) under the name of what was looked up."""
    (rows,) = lookup.outputs
    looked, at_start, change, fitted = (f"{rows}@{part}" for part in ("looked_up", "own", "change", "given"))
    total = _made("add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", [fitted, change, _ALPHA], rows)
    total.label = lookup.label  # the value that the file's own network makes there
    return (
        replace(lookup, label=f"{lookup.label}@looked_up", outputs=[looked]),
        replace(lookup, label=f"{lookup.label}@own", inputs=[own, *lookup.inputs[1:]], outputs=[at_start]),
        _made("sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor", [looked, at_start, _ALPHA], change),
        _made("reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)", [given, looked], fitted),
        total,
    )


def _made(schema: str, inputs: list[str], output: str) -> Node:
    operator = f"aten::{schema.partition('(')[0].partition('.')[0]}"
    return Node(operator, f"{operator} %{output}", parse_schema(f"aten::{schema}"), inputs, [output])
