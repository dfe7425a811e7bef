"""What is turned away before anything runs: external data, foreign opsets, quantised graphs, unknown operators."""

import re
from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import TensorProto

from eigengate.errors import ModelLoadError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.onnx.foreign import why_foreign
from eigengate.loading.onnx.functions import plain_domain
from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.messages import messages_in, tensors_in
from eigengate.loading.onnx.registry import find_operator

_FEW_FILES = 3
_PLAIN_FILE = re.compile(r"\w[\w./-]*")
OLDEST_OPSET = 7  # broadcasting has worked as it does today since then
_QUANTIZED = re.compile(
    r"^(Q(Linear|Gemm|Attention|OrderedAttention|MoE).*|QuantizeLinear|DequantizeLinear|DynamicQuantize.*|ConvInteger"
    r"|MatMulInteger.*|MatMulNBits|MatMulBnb4|MatMulFpQ4|QuantizeBFP|DequantizeBFP|QOrdered.*|NhwcMaxPool"
    r"|GatherBlockQuantized|GatherPacked|QEmbedLayerNormalization|DynamicTimeQuantize.*)$"
)


def refuse_external_data(model: onnx.ModelProto) -> None:
    """Refuse tensors, wherever they hide, whose numbers lie in another file.

    Raises:
        ModelLoadError: naming the first such tensor.
    """
    for tensor in tensors_in(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ModelLoadError(
                f"tensor '{tensor.name}' keeps its data outside the model file",
                hint=f"Pack the model together with its data files and give the archive: {_packing(model)}. "
                "Or save it with its weights inside: onnx.save(model, path, save_as_external_data=False).",
            )


def _packing(model: onnx.ModelProto) -> str:
    """The command that makes a bundle, with the names of the data files where they are few and plain."""
    entries = (entry for tensor in tensors_in(model) for entry in tensor.external_data)
    places = list(dict.fromkeys(entry.value for entry in entries if entry.key == "location"))
    plain = 0 < len(places) <= _FEW_FILES and all(_PLAIN_FILE.fullmatch(place) for place in places)
    return f"zip bundle.zip model.onnx {' '.join(places) if plain else 'and its data files'}"


def refuse_broken_text(model: onnx.ModelProto) -> None:
    """Refuse names that are no UTF-8, which protobuf hands over as raw bytes.

    Raises:
        ModelLoadError: quoting the first of them.
    """
    for message in messages_in(model):
        for descriptor, value in message.ListFields():
            if descriptor.type == descriptor.TYPE_STRING:
                for text in value if isinstance(value, _STRINGS) else [value]:
                    if not isinstance(text, str):
                        raise ModelLoadError(f"field '{descriptor.name}' holds {text[:40]!r}, which is no UTF-8 text")


def refuse_opset(model: onnx.ModelProto) -> None:
    """Refuse versions of the standard operators that are older or newer than we know.

    Raises:
        ModelLoadError: naming the version.
    """
    newest = onnx.defs.onnx_opset_version()
    versions = [entry.version for entry in model.opset_import if plain_domain(entry.domain) == ""]
    for version in versions:
        if not OLDEST_OPSET <= version <= newest:
            raise ModelLoadError(
                f"the model uses opset {version}; {OLDEST_OPSET} to {newest} are known",
                hint="Export with opset_version=18, or convert with onnx.version_converter.",
            )


def refuse_quantized(model: onnx.ModelProto) -> None:
    """Refuse graphs that compute on rounded numbers.

    Raises:
        QuantizedModelError: naming the operators.
    """
    if found := sorted({node.op_type for node in _nodes(model) if _QUANTIZED.match(node.op_type)}):
        raise QuantizedModelError(
            f"the model is quantised (it uses {', '.join(found)}), so it is piecewise constant",
            hint="Audit the floating point model it was made from.",
            context={"operators": found},
        )


def refuse_foreign_inputs(model: onnx.ModelProto) -> None:
    """Refuse a network that is fed anything but tensors: probe data hold nothing else.

    Raises:
        ModelLoadError: naming the first such input.
    """
    for value in model.graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelLoadError(
                f"input '{value.name}' is no tensor",
                hint="Sequences, maps and optionals cannot be audited; export the network with tensors as inputs.",
            )


def refuse_unsupported_nodes(graph: Graph) -> None:
    """Refuse a graph with nodes we have no function for.

    Raises:
        UnsupportedOperatorError: all of them in ``context["nodes"]``.
    """
    objections = [(node, reason) for node in graph.walk() if (reason := _objection(node))]
    if not objections:
        return
    listed = sorted({f"{node.qualified} (opset {node.version}): {reason}" for node, reason in objections})
    raise UnsupportedOperatorError(
        f"{len(objections)} node(s) cannot be differentiated: {'; '.join(listed)}",
        hint="Replace these operators, or export with another opset or exporter; `eigengate ops` lists what works.",
        context={"nodes": [_described(node, reason) for node, reason in objections]},
    )


def _objection(node: Node) -> str | None:
    op = find_operator(node)
    if op is not None:
        return op.objection(node)
    reason = why_foreign(node)
    return f"operator is refused: {reason}" if reason else "operator is not supported"


def _described(node: Node, reason: str) -> dict[str, Any]:
    return {
        "name": node.label,
        "operator": node.operator,
        "domain": node.domain or "ai.onnx",
        "version": node.version,
        "reason": reason,
    }


def _nodes(message: Message) -> Iterator[onnx.NodeProto]:
    for part in messages_in(message):
        if isinstance(part, onnx.NodeProto):
            yield part


_STRINGS: Any = type(onnx.NodeProto().input)
