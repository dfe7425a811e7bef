"""Nodes whose values nobody reads are left out: they cost time, and an unsupported one must not refuse the network."""

from collections.abc import Iterator
from typing import Final

from eigengate.loading.torchscript.ir import Block, Network, Node

_EFFECTS: Final = frozenset({"prim::RaiseException", "prim::Print", "state::set"})


def prune(network: Network) -> None:
    """Remove, in place, every node without an effect whose outputs no node reads and that are no part of the result."""
    _prune(network.body, set(_parts(network, network.body.returns)), frozenset(network.local))


def _parts(network: Network, names: list[str]) -> Iterator[str]:
    """The names and those of the elements of tuples, lists and dictionaries among them."""
    for name in names:
        yield name
        yield from _parts(network, network.tuples.get(name, []))
        yield from _parts(network, list(network.dictionaries.get(name, {}).values()))


def _prune(block: Block, alive: set[str], local: frozenset[str]) -> set[str]:
    """Prune one block, given the names read after it; returns the names it reads itself, those made inside included."""
    read: set[str] = set()
    kept: list[Node] = []
    for node in reversed(block.nodes):
        wanted = alive | read
        if wanted.isdisjoint(node.outputs) and not _has_effect(node, local):
            continue
        if node.operator == "prim::If":
            _narrow(node, wanted)
        for inner in node.blocks:
            read |= _prune(inner, wanted | set(inner.returns), local) | set(inner.returns)
        read |= set(node.inputs)
        kept.append(node)
    block.nodes = kept[::-1]
    return read


def _narrow(node: Node, wanted: set[str]) -> None:
    """Drop the outputs of a branch that nobody reads."""
    places = [place for place, name in enumerate(node.outputs) if name in wanted]
    node.outputs = [node.outputs[place] for place in places]
    for block in node.blocks:
        block.returns = [block.returns[place] for place in places]


def _has_effect(node: Node, local: frozenset[str]) -> bool:
    """Whether a node acts on more than its outputs; what a list nobody else holds goes through is not an effect."""
    if node.operator in _EFFECTS or (node.changes_first_input and node.inputs[0] not in local):
        return True
    return any(_has_effect(inner, local) for block in node.blocks for inner in block.nodes)
