"""Graphs inside graphs that only say how to run: without gradients, with checkpoints. Their nodes join the others."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from eigengate.loading.exported.graph import HIGHER_ORDER, Graph, Node, Ref

NO_GRAD: Final = f"{HIGHER_ORDER}wrap_with_set_grad_enabled"
_AUTOCAST: Final = f"{HIGHER_ORDER}wrap_with_autocast"
_GRAPH_FIRST: Final = frozenset(f"{HIGHER_ORDER}{name}" for name in ("wrap", "tag_activation_checkpoint"))
_NAMED_SUBGRAPH: Final = f"{HIGHER_ORDER}invoke_subgraph"
_AUTOCAST_ENABLED: Final = 2
_MOST_NESTED: Final = 20


def inlined(graph: Graph) -> Graph:
    """The graph with the nodes of such inner graphs in the places where these are called."""
    return replace(graph, nodes=tuple(_flattened(graph.nodes, [0], 0)))


def _flattened(nodes: tuple[Node, ...], counter: list[int], depth: int) -> Iterator[Node]:
    for node in nodes:
        call = _call(node)
        if call is None or depth > _MOST_NESTED:
            yield node
            continue
        counter[0] += 1
        inner, operands = call
        prefix = f"{inner.name}_{counter[0]}."
        places = dict(zip(inner.inputs, operands, strict=True))
        yield from _flattened(tuple(_moved(each, places, prefix) for each in inner.nodes), counter, depth + 1)
        for name, value in zip(node.results, inner.outputs, strict=True):
            if name is not None:
                yield _same(name, _relocated(value, places, prefix))


def _call(node: Node) -> tuple[Graph, tuple[Any, ...]] | None:
    """The inner graph of a node and what it is applied to, if the node is one of those."""
    values = node.positional
    match values:
        case (bool(), Graph() as inner, *operands) if node.target == NO_GRAD:
            pass
        case (_, _, False, _, Graph() as inner, *operands) if node.target == _AUTOCAST:
            pass
        case (Graph() as inner, *operands) if node.target in _GRAPH_FIRST:
            operands = [value for name, value in node.arguments[1:] if not name]
        case (Graph() as inner, str(), *operands) if node.target == _NAMED_SUBGRAPH:
            pass
        case _:
            return None
    fits = len(inner.inputs) == len(operands) and len(inner.outputs) == len(node.results)
    fits = fits and not any(isinstance(output, tuple) for output in node.results)
    return (inner, tuple(operands)) if fits else None


def _moved(node: Node, places: dict[str, Any], prefix: str) -> Node:
    """A node of an inner graph among those outside: names made inside get a prefix."""
    return replace(
        node,
        arguments=tuple((name, _relocated(value, places, prefix)) for name, value in node.arguments),
        outputs=tuple(_renamed(output, prefix) for output in node.outputs),
    )


def _renamed(output: Any, prefix: str) -> Any:
    if isinstance(output, tuple):
        return tuple(prefix + name for name in output)
    return output if output is None else prefix + output


def _relocated(value: Any, places: dict[str, Any], prefix: str) -> Any:
    if isinstance(value, Ref):
        return places.get(value.name, Ref(prefix + value.name))
    if isinstance(value, list):
        return [_relocated(item, places, prefix) for item in value]
    return value


def _same(name: str, value: Any) -> Node:
    return Node("torch.ops.aten.alias.default", (("self", value),), (name,))
