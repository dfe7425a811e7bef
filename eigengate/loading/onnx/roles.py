"""Which constants of a graph are parameters: ONNX does not say, so each is judged by where its value goes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from eigengate.loading.masks import is_mask
from eigengate.loading.onnx.declarations import BUFFER, CONSTANT, PARAMETER
from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.naming import is_derived, is_invented, sounds_like_buffer, sounds_like_parameter
from eigengate.loading.onnx.positions import Evidence, Place, Role, places
from eigengate.loading.onnx.registry import Smoothness, find_operator

__all__ = ["Role", "parameter_roles", "role_notes"]

# Operators that hand a parameter on as it is, in another shape.
_CARRIERS = frozenset(
    {"Identity", "Cast", "CastLike", "Dropout", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"}
    | {"Slice", "Split", "Gather", "Concat", "Tile"}
)
_NOWHERE = Place(Role.BUFFER, Evidence.PROOF)
_LISTED = 8


@final
@dataclass(frozen=True)
class _Verdict:
    """The role of a constant, and whether the file leaves room for doubt about it."""

    role: Role
    is_doubtful: bool = False


def parameter_roles(graph: Graph) -> dict[str, Role]:
    """The role of every floating constant of the graph, by name, in the order in which the graph keeps them.

    What the exporter itself declares (``Graph.declared``) is believed first. Otherwise a constant is trained if its
    value reaches, through constants alone and differentiably, a place that holds parameters: the weight of a
    convolution or matrix product, a normalisation's scale, a looked-up table. The places differ in what they prove
    (``Evidence``): where constants also stand for masks and factors (additions, products, concatenations), only arrays
    of several finite numbers count, and names that say otherwise are believed.
    """
    return {name: verdict.role for name, verdict in _verdicts(graph).items()}


def role_notes(graph: Graph) -> tuple[str, ...]:
    """What a reader of the report must know where the file says too little to tell parameters from other constants."""
    verdicts = {name: verdict.role for name, verdict in _verdicts(graph).items() if verdict.is_doubtful}
    taken = [name for name, role in verdicts.items() if role is not Role.BUFFER]
    left = [name for name, role in verdicts.items() if role is Role.BUFFER]
    notes = []
    if taken:
        notes.append(
            f"the file does not say whether these constants were trained: {_listed(taken)}; judged by where their "
            "values go, they are counted as parameters (parameters.exclude leaves them out)"
        )
    if left:
        notes.append(
            f"the file does not say whether these constants were trained: {_listed(left)}; judged by their names and "
            "values, they are held fixed"
        )
    return tuple(notes)


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _verdicts(graph: Graph) -> dict[str, _Verdict]:
    flows = _flows(graph)
    floating = {name: value for name, value in graph.constants.items() if value.is_floating_point()}
    return {name: _judge(name, value, flows.get(name, _NOWHERE), graph) for name, value in floating.items()}


def _flows(graph: Graph) -> dict[str, Place]:
    """For every constant, and what is computed from constants alone, the most telling place that it reaches."""
    nodes = list(graph.walk())
    varying = _varying(graph, nodes)
    flows: dict[str, Place] = {}
    for node in reversed(nodes):
        for name, place in _claims(node, varying, flows):
            known = flows.get(name, _NOWHERE)
            if known.role is Role.BUFFER or (place.role is not Role.BUFFER and place.evidence >= known.evidence):
                flows[name] = place
    return flows


def _varying(graph: Graph, nodes: list[Node]) -> set[str]:
    """Names whose value, not only whose shape, depends on what is fed."""
    varying = {spec.name for spec in graph.inputs}
    for node in nodes:
        varying.update(spec.name for subgraph in node.subgraphs for spec in subgraph.inputs)
    for node in nodes:
        inner = {name for subgraph in node.subgraphs for name in (*subgraph.captured, *subgraph.outputs)}
        if node.operator not in ("Shape", "Size") and not varying.isdisjoint({*node.inputs, *inner}):
            varying.update(node.outputs)
    return varying - {""}


def _claims(node: Node, varying: set[str], flows: Mapping[str, Place]) -> Iterator[tuple[str, Place]]:
    """For each constant operand the place where it stands here, or that it reaches through this node."""
    stands = places(node.domain, node.operator)
    meets_data = not varying.isdisjoint(node.outputs)
    reached = None if meets_data else _reached(node, flows)
    for position, name in enumerate(node.inputs):
        if not name or name in varying:
            continue
        if meets_data:
            yield name, stands.get(position, _NOWHERE)
        elif reached is not None:
            yield name, _passed_on(node, stands.get(position), reached)


def _reached(node: Node, flows: Mapping[str, Place]) -> Place | None:
    """Where the results of a node go, as far as a derivative by its operands goes with them."""
    found = [flows[name] for name in node.outputs if name in flows]
    op = find_operator(node)
    if found and op is not None and op.smoothness is not Smoothness.TWICE:
        return _NOWHERE
    return max(found, key=lambda place: (place.role is not Role.BUFFER, place.evidence), default=None)


def _passed_on(node: Node, here: Place | None, reached: Place) -> Place:
    """What is known of the operand of a node that computes on constants alone, and whose result goes to ``reached``."""
    if reached.role is Role.BUFFER:
        return reached
    if node.operator in _CARRIERS:
        return Place(
            here.role if here is not None and here.evidence >= Evidence.GOOD else reached.role, reached.evidence
        )
    if here is None:
        return Place(reached.role, Evidence.WEAK)
    return Place(here.role, min(here.evidence, Evidence.FAIR))


def _judge(name: str, value: Tensor, place: Place, graph: Graph) -> _Verdict:
    match graph.declared.get(name):
        case kind if kind == PARAMETER:
            fallback = Role.WEIGHT if value.ndim > 1 else Role.BIAS
            return _Verdict(fallback if place.role is Role.BUFFER else place.role)
        case kind if kind in (BUFFER, CONSTANT):
            return _Verdict(Role.BUFFER)
    if place.role is Role.BUFFER or _is_filler(place.role, name, value, graph):
        return _Verdict(Role.BUFFER)
    if place.evidence is Evidence.PROOF:
        return _Verdict(place.role)
    if not _has_evidence(name, value, place.evidence, name in graph.literals):
        return _Verdict(Role.BUFFER, is_doubtful=value.numel() > 1 and name not in graph.literals)
    return _Verdict(place.role, is_doubtful=not (sounds_like_parameter(name) or _is_layout(name, value, place)))


def _has_evidence(name: str, value: Tensor, evidence: Evidence, is_literal: bool) -> bool:
    """Whether the constant looks as a parameter must look where the place alone is no proof."""
    if sounds_like_buffer(name):
        return False
    if evidence is Evidence.GOOD:
        return True
    if is_literal or not bool(torch.isfinite(value).all()) or is_mask(value):
        return False
    has_own_name = not (is_invented(name) or is_derived(name))
    return has_own_name or (evidence is Evidence.FAIR and value.numel() > 1)


def _is_layout(name: str, value: Tensor, place: Place) -> bool:
    """Whether this is what exporters make of every linear layer: the transposed weight of a matrix product."""
    return place.evidence is Evidence.GOOD and value.ndim == 2 and (is_derived(name) or is_invented(name))


def _is_filler(role: Role, name: str, value: Tensor, graph: Graph) -> bool:
    """Whether an exporter put ones or zeros where an operator wants what the network does not have."""
    invented = is_invented(name) or name in graph.literals
    return role is not Role.WEIGHT and invented and (bool((value == 0).all()) or bool((value == 1).all()))
