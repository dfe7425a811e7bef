"""Small trees of operators, looked for in a graph: what an exporter writes for one function of the network.

A pattern is built from ``Operand`` (any value, the same one wherever its name recurs), ``Number`` (a scalar constant
of about this value) and ``Apply`` (an operator over patterns).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from eigengate.loading.onnx.graph import Node

# Files keep such numbers in single precision, or in half.
_SAME_NUMBER = 1e-3


@final
@dataclass(frozen=True)
class Operand:
    """Any value, bound to a name."""

    name: str


@final
@dataclass(frozen=True)
class Number:
    """A constant with one element, of about this value; bound to a name if it has one, then of any value."""

    value: float | None = None
    name: str = ""


@final
@dataclass(frozen=True)
class Apply:
    """An operator of the standard over patterns; ``where`` may look closer at the node."""

    operator: str
    operands: tuple["Pattern", ...]
    where: Callable[[Node], bool] = lambda node: True


Pattern = Operand | Number | Apply
_COMMUTATIVE = frozenset({"Add", "Mul"})


def apply(operator: str, *operands: Pattern, where: Callable[[Node], bool] = lambda node: True) -> Apply:
    """The pattern of an operator over patterns."""
    return Apply(operator, operands, where)


@final
@dataclass(frozen=True)
class Match:
    """Where a pattern was found: what its names are bound to, and the nodes it covers, its root last."""

    names: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()


@final
@dataclass(frozen=True)
class Matcher:
    """Looks for patterns among nodes by the names they make, and constants."""

    makers: Mapping[str, Node]
    constants: Mapping[str, Tensor]
    trained: frozenset[str]

    def find(self, pattern: Pattern, name: str, found: Match | None = None) -> Match | None:
        """The match with the value called ``name`` as the pattern's root, extending what was found before."""
        found = found or Match()
        match pattern:
            case Operand(bound):
                if found.names.get(bound, name) != name:
                    return None
                return Match({**found.names, bound: name}, found.nodes)
            case Number():
                return self._number(pattern, name, found)
            case Apply():
                return self._apply(pattern, name, found)

    def _number(self, pattern: Number, name: str, found: Match) -> Match | None:
        constant = self.constants.get(name)
        if constant is None or name in self.trained or constant.numel() != 1 or not constant.is_floating_point():
            return None
        if pattern.value is not None and abs(float(constant) - pattern.value) > _SAME_NUMBER * abs(pattern.value):
            return None
        return Match({**found.names, pattern.name: name}, found.nodes) if pattern.name else found

    def _apply(self, pattern: Apply, name: str, found: Match) -> Match | None:
        node = self.makers.get(name)
        if node is None or node.domain != "" or node.operator != pattern.operator or node.outputs[0] != name:
            return None
        if len(node.inputs) < len(pattern.operands) or not pattern.where(node):
            return None
        orders = [node.inputs, node.inputs[::-1]] if node.operator in _COMMUTATIVE else [node.inputs]
        for order in orders:
            inner: Match | None = found
            for operand, part in zip(order, pattern.operands, strict=False):
                inner = inner and self.find(part, operand, inner)
            if inner is not None:
                return Match(inner.names, (*inner.nodes, node))
        return None
