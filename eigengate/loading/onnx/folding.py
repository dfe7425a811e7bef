"""Whether the exporter folded normalisation into convolutions: the parameters are then not those that were trained."""

import re

import onnx

_LEGACY_FOLDED = re.compile(r"^onnx::Conv(Transpose)?_\d+$")
_FX_NODE = "pkg.torch.onnx.fx_node"
_NOTE = (
    "batch normalisation was folded into {count} convolution(s) by the exporter: parameter-space quantities "
    "are those of the folded network"
)


def folding_notes(model: onnx.ModelProto) -> tuple[str, ...]:
    """A note if torch's exporters left their marks of a folded convolution; other folding leaves none."""
    folded = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose") and _is_folded(node)]
    return (_NOTE.format(count=len(folded)),) if folded else ()


def _is_folded(node: onnx.NodeProto) -> bool:
    """The older exporter renames folded weights; the newer one keeps the record of the normalisation on the node."""
    if len(node.input) > 1 and _LEGACY_FOLDED.match(node.input[1]):
        return True
    return any(entry.key == _FX_NODE and "batch_norm" in entry.value for entry in node.metadata_props)
