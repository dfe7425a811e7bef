"""Functions that exporters write out in pieces, put together again so that they run as one kernel.

Older opsets have no GELU and no layer normalisation, no opset has the affine map of a linear layer on sequences:
exported networks spell them out in up to nine nodes. Together they compute the same numbers in a fraction of the
passes over memory. Only values that nothing else reads are fused away; the report lists the file's own operators.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import final

from torch import Tensor

from eigengate.loading.onnx.graph import Attribute, Graph, Node
from eigengate.loading.onnx.pattern import Match, Matcher, Number, Operand, Pattern, apply

FUSED_DOMAIN = "eigengate"
"""Of operators that no file has and that stand for several nodes."""

_X = Operand("x")


@final
@dataclass(frozen=True)
class Fusion:
    """What to look for, and the operator that stands for it.

    Args:
        pattern: The nodes.
        operator: Domain, name and version of the one that replaces them.
        operands: Which of the pattern's names it reads, in order.
        attributes: What it is given, from what was found.
        where: Whether what was found is really meant, where the pattern cannot say it.
    """

    pattern: Pattern
    operator: tuple[str, str, int]
    operands: tuple[str, ...]
    attributes: Callable[[Match, Matcher], Mapping[str, Attribute]] = lambda match, matcher: {}
    where: Callable[[Match, Matcher], bool] = lambda match, matcher: True


def fuse(graph: Graph, trained: Collection[str] = ()) -> Graph:
    """The same function with fewer nodes; names that only pieces of a fused function had are gone.

    Args:
        graph: The network.
        trained: Constants that are parameters: no number of a pattern, whatever their value is now.
    """
    nodes = list(graph.nodes)
    for fusion in _FUSIONS:
        nodes = _apply(fusion, nodes, graph, trained)
    return replace(graph, nodes=tuple(nodes))


def _apply(fusion: Fusion, nodes: Sequence[Node], graph: Graph, trained: Collection[str]) -> list[Node]:
    matcher = Matcher({name: node for node in nodes for name in node.outputs}, graph.constants, frozenset(trained))
    uses = Counter(chain(graph.outputs, *(_reads(node) for node in nodes)))
    replaced: dict[int, Node | None] = {}
    for node in nodes:
        match = matcher.find(fusion.pattern, node.outputs[0])
        if match is None or any(id(inner) in replaced for inner in match.nodes):
            continue
        if _is_closed(match, uses) and fusion.where(match, matcher):
            replaced |= {id(inner): None for inner in match.nodes}
            replaced[id(node)] = _fused(fusion, node, match, matcher)
    return [kept for node in nodes if (kept := replaced.get(id(node), node)) is not None]


def _reads(node: Node) -> Iterator[str]:
    yield from node.inputs
    for subgraph in node.subgraphs:
        yield from subgraph.captured


def _is_closed(match: Match, uses: Mapping[str, int]) -> bool:
    """Whether nothing outside reads what the match makes on the way to its root."""
    root, covered = match.nodes[-1], {id(node): node for node in match.nodes}.values()
    inside = Counter(chain.from_iterable(node.inputs for node in covered))
    inner = {name for node in covered if node is not root for name in node.outputs if name}
    return all(uses[name] == inside[name] for name in inner)


def _fused(fusion: Fusion, root: Node, match: Match, matcher: Matcher) -> Node:
    domain, operator, version = fusion.operator
    return Node(
        domain=domain,
        operator=operator,
        version=version,
        name=root.name,
        inputs=tuple(match.names[name] for name in fusion.operands),
        outputs=root.outputs,
        attributes=fusion.attributes(match, matcher),
    )


def _products(*factors: Pattern) -> Iterator[Pattern]:
    """Every way to multiply three factors two at a time."""
    a, b, c = factors
    yield apply("Mul", apply("Mul", a, b), c)
    yield apply("Mul", apply("Mul", a, c), b)
    yield apply("Mul", apply("Mul", b, c), a)


def _gelu() -> Iterator[Fusion]:
    arguments = (apply("Div", _X, Number(math.sqrt(2))), apply("Mul", _X, Number(math.sqrt(0.5))))
    for argument in arguments:
        for pattern in _products(_X, apply("Add", apply("Erf", argument), Number(1.0)), Number(0.5)):
            yield Fusion(pattern, ("", "Gelu", 20), ("x",))


def _tanh_gelu() -> Iterator[Fusion]:
    cubes = (apply("Pow", _X, Number(3.0)), apply("Mul", apply("Mul", _X, _X), _X))
    for cube in cubes:
        argument = apply("Mul", apply("Add", apply("Mul", cube, Number(0.044715)), _X), Number(math.sqrt(2 / math.pi)))
        for pattern in _products(_X, apply("Add", apply("Tanh", argument), Number(1.0)), Number(0.5)):
            yield Fusion(pattern, ("", "Gelu", 20), ("x",), lambda match, matcher: {"approximate": "tanh"})


def _layer_normalization() -> Iterator[Fusion]:
    centred = apply("Sub", _X, apply("ReduceMean", _X, where=_over_the_last_axis))
    for square in (apply("Pow", centred, Number(2.0)), apply("Mul", centred, centred)):
        variance = apply("ReduceMean", square, where=_over_the_last_axis)
        deviation = apply("Sqrt", apply("Add", variance, Number(name="epsilon")))
        scaled = apply("Mul", apply("Div", centred, deviation), Operand("scale"))
        yield Fusion(
            apply("Add", scaled, Operand("bias")),
            ("", "LayerNormalization", 17),
            ("x", "scale", "bias"),
            lambda match, matcher: {"epsilon": float(matcher.constants[match.names["epsilon"]])},
            lambda match, matcher: all(_is_vector(matcher.constants.get(match.names[n])) for n in ("scale", "bias")),
        )


def _linear() -> Iterator[Fusion]:
    product = apply("MatMul", _X, Operand("weight"))
    yield Fusion(
        apply("Add", product, Operand("bias")),
        (FUSED_DOMAIN, "Linear", 1),
        ("x", "weight", "bias"),
        where=lambda match, matcher: _is_affine(*(matcher.constants.get(match.names[n]) for n in ("weight", "bias"))),
    )


def _over_the_last_axis(node: Node) -> bool:
    return bool(node.attributes.get("axes") == (-1,) and node.attributes.get("keepdims", 1) == 1)


def _is_vector(constant: Tensor | None) -> bool:
    return constant is not None and constant.ndim == 1


def _is_affine(weight: Tensor | None, bias: Tensor | None) -> bool:
    if weight is None or bias is None or weight.ndim != 2:
        return False
    return bias.ndim == 1 and bias.shape[0] == weight.shape[1]


_FUSIONS = (*_gelu(), *_tanh_gelu(), *_layer_normalization(), *_linear())
