"""What exporters computed in advance from the network's parameters: derivatives are then by other numbers than it has.

The older exporter renames what it computed, the newer one keeps the network's signature and says what a stored value
was computed from. What cannot be told: anything folded before the file was written (a fused network, another tool), a
transposed weight from a transposed product of weights in the older exporter's files, and what an optimiser that leaves
no marks did afterwards.
"""

import re
from collections.abc import Iterator, Mapping

import onnx

from eigengate.loading.onnx.declarations import PARAMETER, folded_origins, network_kinds
from eigengate.loading.onnx.naming import is_derived

_RULE = "pkg.onnxscript.rewriter.rule_name"
_FX_NODE = "pkg.torch.onnx.fx_node"
_IS_NORMALISATION = re.compile(r"target=[\w.]*batch_norm|getitem\S*\(args = \(%\w*batch_norm")
_LISTED = 6
_FOLDING_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_RECURRENT = ("RNN", "GRU", "LSTM")
# Inputs of operators whose derived operand holds the same numbers in another order.
_REARRANGED: Mapping[str, frozenset[int]] = {
    "MatMul": frozenset({0, 1}),
    "Gemm": frozenset({0, 1}),
    "PRelu": frozenset({1}),
    **dict.fromkeys(_RECURRENT, frozenset({1, 2, 3})),
}
# What torch calls the steps that only move numbers; the newer exporter names a value after its last step.
_MOVES = re.compile(
    r"^(val|t|transpose|permute|numpy_t|view|_unsafe_view|reshape|unsqueeze|squeeze|flatten|clone|contiguous|expand"
    r"|_to_copy|alias|detach)(_copy)?(_\d+)?$"
)


def folding_notes(model: onnx.ModelProto) -> tuple[str, ...]:
    """What a reader of the report must know about parameters that are in the file in another form than in the network.

    Said of batch normalisation inside convolutions and linear layers, and of other tensors that were computed from
    parameters (weight normalisation, a table that was already looked up) rather than stored as they were trained.
    """
    return (*_normalisation_notes(model.graph), *_computation_notes(model.graph))


def _normalisation_notes(graph: onnx.GraphProto) -> Iterator[str]:
    derived = _derived(graph)
    folded = [node for node in graph.node if _holds_normalisation(node, derived)]
    convolutions = sum(node.op_type.startswith("Conv") for node in folded)
    kinds = [f"{convolutions} convolution(s)"] if convolutions else []
    kinds += [f"{linear} linear layer(s)"] if (linear := len(folded) - convolutions) else []
    if kinds:
        yield (
            f"batch normalisation was folded into {' and '.join(kinds)} by the exporter: parameter-space quantities "
            "are those of the folded network"
        )


def _holds_normalisation(node: onnx.NodeProto, derived: frozenset[str]) -> bool:
    """The older exporter renames weight and bias; the newer one notes its rule, or the normalisation, on the node."""
    if node.op_type not in _FOLDING_LAYERS:
        return False
    if node.op_type.startswith("Conv") and len(node.input) > 2 and derived.issuperset(node.input[1:3]):
        return True
    marks = {entry.key: entry.value for entry in node.metadata_props}
    return "BatchNorm" in marks.get(_RULE, "") or _IS_NORMALISATION.search(marks.get(_FX_NODE, "")) is not None


def _computation_notes(graph: onnx.GraphProto) -> Iterator[str]:
    computed = [*_computed_by_the_older_exporter(graph), *_computed_by_the_newer_exporter(graph)]
    if computed:
        shown = ", ".join(f"'{name}'" for name in computed[:_LISTED]) + (", ..." if len(computed) > _LISTED else "")
        yield (
            f"{len(computed)} stored tensor(s) were computed in advance by the exporter, from parameters or other "
            f"constants of the network ({shown}): parameter-space quantities are those of the file's own parameters"
        )


def _computed_by_the_older_exporter(graph: onnx.GraphProto) -> list[str]:
    derived = _derived(graph)
    explained = {
        name
        for node in graph.node
        for position, name in enumerate(node.input)
        if position in _REARRANGED.get(node.op_type, ()) or _holds_normalisation(node, derived)
    }
    return sorted(derived - explained)


def _derived(graph: onnx.GraphProto) -> frozenset[str]:
    return frozenset(
        stored.name
        for stored in graph.initializer
        if stored.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE) and is_derived(stored.name)
    )


def _computed_by_the_newer_exporter(graph: onnx.GraphProto) -> list[str]:
    own = {name for name, kind in network_kinds(graph).items() if kind == PARAMETER}
    # Of a recurrent layer it joins the gates of all directions in the standard's order: the same numbers again.
    explained = {
        node.input[i] for node in graph.node if node.op_type in _RECURRENT for i in (1, 2, 3) if node.input[i:]
    }
    origins_of = folded_origins(graph)
    return [name for name in origins_of if name not in explained and _is_computed(name, own, origins_of[name])]


def _is_computed(name: str, own: set[str], origins: tuple[str, ...]) -> bool:
    """Whether the value is more than one parameter with its numbers moved about."""
    parameters = own.intersection(origins)
    moves = [step for step in (name, *origins) if step not in own]
    return bool(parameters) and (len(parameters) > 1 or not all(_MOVES.match(step) for step in moves))
