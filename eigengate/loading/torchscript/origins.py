"""Which constants a value is computed from, where no input changes it."""

from collections.abc import Iterable
from typing import Final

from eigengate.loading.torchscript.embedding import SHAPE_READERS
from eigengate.loading.torchscript.ir import Block, Network, Node

_NOTHING: Final[frozenset[str]] = frozenset()


def constant_origins(network: Network) -> dict[str, frozenset[str]]:
    """Names of the constant tensors behind every value that depends on no input but by its shape.

    What a loop gives, and a list that an input is put into, depends on inputs.
    """
    origins = {name: frozenset({name}) for name in network.buffers}
    _follow(network.body, network, origins, set(network.body.parameters))
    return origins


def _follow(block: Block, network: Network, origins: dict[str, frozenset[str]], varying: set[str]) -> None:
    """Add the origins of everything that the block makes, and to ``varying`` what inputs change."""
    for node in block.nodes:
        for inner in node.blocks:
            varying.update(inner.parameters)
            _follow(inner, network, origins, varying)
        if node.operator in SHAPE_READERS:
            continue
        for place, output in enumerate(node.outputs):
            sources = _sources(node, place, network)
            if node.operator == "prim::Loop" or not varying.isdisjoint(sources):
                varying.add(output)
                origins.pop(output, None)
            elif found := _NOTHING.union(*(origins.get(source, _NOTHING) for source in sources)):
                origins[output] = found


def _sources(node: Node, place: int, network: Network) -> set[str]:
    """What an output is computed from: of a branch what its sides give, else the inputs with what they hold."""
    given: Iterable[str] = [side.returns[place] for side in node.blocks] if node.blocks else node.inputs
    return {element for name in given for element in (name, *network.tuples.get(name, ()))}
