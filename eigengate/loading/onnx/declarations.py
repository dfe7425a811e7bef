"""What torch's newer exporter writes into a graph about where its values come from.

It keeps the signature of the exported program (every parameter and buffer of the network, by name), repeats the kind on
the values themselves, and its optimiser says of each constant that it computed in advance what it was computed from.
"""

import ast
import re
from collections.abc import Iterator, Mapping

import onnx

PARAMETER = "PARAMETER"
BUFFER = "BUFFER"
CONSTANT = "CONSTANT_TENSOR"

_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
_SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
_FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
_ENTRY = re.compile(r"^\S+: (PARAMETER|BUFFER|CONSTANT_TENSOR) target='([^']*)'", re.MULTILINE)


def declared_kinds(graph: onnx.GraphProto) -> dict[str, str]:
    """``PARAMETER``, ``BUFFER`` or ``CONSTANT_TENSOR`` by name of value, as far as the exporter says it.

    What was computed in advance from a parameter stands for it; what was computed from none is a constant.
    """
    signature = network_kinds(graph)
    kinds = signature | dict(_remarks(graph, _KIND))
    for name, origins in folded_origins(graph).items():
        if any(kinds.get(origin) == PARAMETER for origin in origins):
            kinds.setdefault(name, PARAMETER)
        elif signature:
            kinds.setdefault(name, CONSTANT)
    return kinds


def network_kinds(graph: onnx.GraphProto) -> dict[str, str]:
    """The network's own parameters and buffers by name, whether or not they are still in the file."""
    text = next((entry.value for entry in graph.metadata_props if entry.key == _SIGNATURE), "")
    return {target: kind for kind, target in _ENTRY.findall(text)}


def folded_origins(graph: onnx.GraphProto) -> Mapping[str, tuple[str, ...]]:
    """For each stored value that the optimiser computed in advance, the names of what it was computed from."""
    stored = {initializer.name for initializer in graph.initializer}
    return {name: _names(text) for name, text in _remarks(graph, _FOLDED_FROM) if name in stored}


def _remarks(graph: onnx.GraphProto, key: str) -> Iterator[tuple[str, str]]:
    """What the exporter noted under a key, by name of value."""
    noted: list[onnx.ValueInfoProto | onnx.TensorProto] = [*graph.value_info, *graph.initializer]
    return ((value.name, entry.value) for value in noted for entry in value.metadata_props if entry.key == key)


def _names(text: str) -> tuple[str, ...]:
    """The list of names that was written as Python prints it; a file may hold anything."""
    try:
        listed = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()
