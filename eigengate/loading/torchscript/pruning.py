"""Nodes whose values nobody reads are left out: they cost time, and an unsupported one must not refuse the network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, final

from eigengate.loading.torchscript.ir import Block, Network, Node

_EFFECTS: Final = frozenset({"prim::RaiseException", "prim::Print", "state::set"})


def prune(network: Network, acts: Callable[[Node], bool] = lambda _: False) -> None:
    """Remove, in place, every node without an effect whose outputs no node reads and that are no part of the result.

    Args:
        network: The network.
        acts: Which nodes have an effect beside those that write or raise.
    """
    _Pruning(frozenset(network.local), acts).prune(network.body, set(_parts(network, network.body.returns)))


def _parts(network: Network, names: list[str]) -> Iterator[str]:
    """The names and those of the elements of tuples, lists and dictionaries among them."""
    for name in names:
        yield name
        yield from _parts(network, network.tuples.get(name, []))
        yield from _parts(network, list(network.dictionaries.get(name, {}).values()))


@final
@dataclass(frozen=True)
class _Pruning:
    local: frozenset[str]
    acts: Callable[[Node], bool]

    def prune(self, block: Block, alive: set[str]) -> set[str]:
        """Prune one block, given the names read after it; returns the names it reads itself, those inside included."""
        read: set[str] = set()
        kept: list[Node] = []
        for node in reversed(block.nodes):
            wanted = alive | read
            if wanted.isdisjoint(node.outputs) and not self._has_effect(node):
                continue
            if node.operator == "prim::If":
                _narrow(node, wanted)
            for inner in node.blocks:
                read |= self.prune(inner, wanted | set(inner.returns)) | set(inner.returns)
            read |= set(node.inputs)
            kept.append(node)
        block.nodes = kept[::-1]
        return read

    def _has_effect(self, node: Node) -> bool:
        """Whether a node acts on more than its outputs; what a list nobody else holds goes through is no effect."""
        changes = node.changes_first_input and node.inputs[0] not in self.local
        if node.operator in _EFFECTS or changes or self.acts(node):
            return True
        return any(self._has_effect(inner) for block in node.blocks for inner in block.nodes)


def _narrow(node: Node, wanted: set[str]) -> None:
    """Drop the outputs of a branch that nobody reads."""
    places = [place for place, name in enumerate(node.outputs) if name in wanted]
    node.outputs = [node.outputs[place] for place in places]
    for block in node.blocks:
        block.returns = [block.returns[place] for place in places]
