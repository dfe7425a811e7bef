"""Undoing an exporter's sharing of equal tensors.

Torch's exporters store tensors of equal content once: in a fresh network the ones of every normalisation scale and the
zeros of every bias become a single initialiser, running statistics included. As parameters those are different
coordinates. Tensors that agree while *varying* inside are tied weights; tensors that agree because they are constant
throughout (all ones, all zeros) are taken apart again.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.naming import copy_name, is_invented

_NOTE = (
    "the exporter stored equal constant-filled tensors once; {count} of them were taken apart again, "
    "as they are separate parameters of the network"
)


def untie(graph: Graph) -> Graph:
    """Give every consumer of a constant-filled floating initialiser a tensor of its own."""
    shareable = {
        name for name in graph.constants if name not in graph.literals and _is_filled(name, graph.constants[name])
    }
    aliases = {
        node.outputs[0]: node.inputs[0]
        for node in graph.nodes
        if node.operator == "Identity" and node.domain == "" and node.inputs[0] in shareable
    }
    kept = [node for node in graph.nodes if node.outputs[0] not in aliases]
    constants = dict(graph.constants) | {alias: graph.constants[source] for alias, source in aliases.items()}
    shareable |= set(aliases)
    protected = set(graph.outputs) | {name for node in graph.nodes for sub in node.subgraphs for name in sub.captured}
    copies, nodes = _split(kept, shareable - protected, constants)
    notes = (*graph.notes, _NOTE.format(count=len(copies) + len(aliases))) if copies or aliases else graph.notes
    return replace(graph, nodes=tuple(nodes), constants=constants | copies, notes=notes)


def _split(
    nodes: list[Node], shareable: set[str], constants: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[Node]]:
    uses: defaultdict[str, int] = defaultdict(int)
    copies: dict[str, Tensor] = {}
    rewritten = []
    for node in nodes:
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            if name not in shareable:
                continue
            uses[name] += 1
            if uses[name] > 1:
                inputs[position] = copy_name(name, node.label, position)
                copies[inputs[position]] = constants[name]
        rewritten.append(replace(node, inputs=tuple(inputs)))
    return copies, rewritten


def _is_filled(name: str, value: Tensor) -> bool:
    if not value.is_floating_point() or value.ndim == 0 or value.numel() == 0:
        return False
    if value.numel() == 1 and is_invented(name):
        return False
    flat = value.reshape(-1)
    return bool((flat == flat[0]).all())
