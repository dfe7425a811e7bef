"""The softmax that closes a classifier, found through what only reshapes or casts its result, and taken off."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.pattern import Matcher, Operand, apply

_PASS_THROUGH: Final = frozenset(
    {"Identity", "Cast", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}
)
_CLOSING: Final = frozenset({"Softmax", "LogSoftmax"})
_EXPONENTIALS = apply("Exp", apply("Sub", Operand("x"), apply("ReduceMax", Operand("x"))))
_WRITTEN_OUT = apply("Div", _EXPONENTIALS, apply("ReduceSum", _EXPONENTIALS))


def without_closing_softmax(graph: Graph, output: int) -> Graph | None:
    """The graph whose ``output`` is what entered its closing (log-)softmax; None if no softmax closes it.

    What follows the softmax and keeps its numbers is done to the logits instead. Other outputs stay as they are, even
    those made from the probabilities.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    following: list[Node] = []
    name = graph.outputs[output]
    while (node := makers.get(name)) is not None and _passes_through(node):
        following.append(node)
        name = node.inputs[0]
    logits = _logits(name, makers, graph)
    if logits is None:
        return None
    repeated, last = _repeated([node for node in reversed(following) if node.operator != "Identity"], logits)
    outputs = (*graph.outputs[:output], last, *graph.outputs[output + 1 :])
    return replace(graph, nodes=(*graph.nodes, *repeated), outputs=outputs)


def _passes_through(node: Node) -> bool:
    return node.domain == "" and node.operator in _PASS_THROUGH


def _logits(name: str, makers: Mapping[str, Node], graph: Graph) -> str | None:
    """What the softmax that makes ``name`` is taken of: the operator, or its definition written out."""
    node = makers.get(name)
    if node is not None and node.domain == "" and node.operator in _CLOSING:
        return node.inputs[0]
    match = Matcher(makers, graph.constants, frozenset()).find(_WRITTEN_OUT, name)
    return match.names["x"] if match else None


def _repeated(following: Sequence[Node], logits: str) -> tuple[list[Node], str]:
    """The nodes again, from the logits on, under names of their own."""
    name, nodes = logits, []
    for node in following:
        made = f"{node.outputs[0]}@logits"
        nodes.append(replace(node, inputs=(name, *node.inputs[1:]), outputs=(made,)))
        name = made
    return nodes, name
