"""Which operators of a network draw random numbers."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.rewrites import REWRITES
from eigengate.loading.torchscript.rewrites.random import DRAWING

# Arguments with which dropout, and what has it inside, is a plain function.
_QUIET: Final[Mapping[str, Any]] = {"train": False, "dropout": 0.0, "dropout_p": 0.0, "p": 0.0}
_DISTRIBUTIONS: Final = frozenset({"aten::bernoulli", "aten::bernoulli_", "aten::geometric", "aten::geometric_"})


def drawing(node: Node, known: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The function of a node that draws random numbers, or may do so; None of every other node.

    Args:
        node: The node.
        known: Values that no input can change, by name.
    """
    function = DRAWING.get(node.overload)
    if function is None or node.schema is None or (node.overload in REWRITES and _is_quiet(node, known)):
        return None
    return function


def drawing_operators(network: Network) -> tuple[str, ...]:
    """Names of the operators that draw, sorted."""
    known = network.known
    found = (node for node in network.walk() if drawing(node, known) is not None and not _is_quiet(node, known))
    return tuple(sorted({node.operator for node in found}))


def draws(operator: str, overload: str) -> bool:
    """Whether an operator is one of those, whatever its arguments."""
    return (f"{operator}.{overload}" if overload else operator) in DRAWING


def is_quiet(operator: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an operator that has dropout inside is a plain function with these arguments, by name."""
    if operator in _DISTRIBUTIONS:
        return False
    return any(name in arguments and arguments[name] == quiet for name, quiet in _QUIET.items())


def _is_quiet(node: Node, known: Mapping[str, Any]) -> bool:
    if node.schema is None:
        return False
    names = [argument.name for argument in node.schema.arguments]
    given = {name: known[value] for name, value in zip(names, node.inputs, strict=True) if value in known}
    return is_quiet(node.operator, given)
