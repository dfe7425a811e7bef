"""Which arguments of a node vary from call to call; the others are settled when the network is compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from eigengate.loading.torchscript.ir import Node

_MISSING: Final = object()


@final
@dataclass(frozen=True)
class Settled:
    """The first ``count`` arguments come at run time, by position; every other is its default or in ``keywords``."""

    count: int
    keywords: Mapping[str, Any]


def settled(
    node: Node, known: Mapping[str, Any], prepare: Callable[[str, Any], Any], special: frozenset[str]
) -> Settled | None:
    """The arguments of a node that stay at run time; None where they cannot all be given by position.

    Args:
        node: A node that has a schema.
        known: Values that no input can change, by name.
        prepare: Makes of an argument's name and value what the operator is to get.
        special: Names of arguments that have to be prepared.
    """
    assert node.schema is not None
    arguments = node.schema.arguments
    count, keywords = len(arguments), dict[str, Any]()
    for argument, name in zip(reversed(arguments), reversed(node.inputs), strict=True):
        value = prepare(argument.name, known[name]) if name in known else _MISSING
        default = argument.default_value if argument.has_default_value() else _MISSING
        # 1 and 1.0 are equal, and an operator on integers takes but one of them.
        is_default = value is not _MISSING and type(value) is type(default) and value == default
        if value is _MISSING or not (is_default or argument.kwarg_only):
            break
        if not is_default:
            keywords[argument.name] = value
        count -= 1
    by_position = not any(argument.kwarg_only or argument.name in special for argument in arguments[:count])
    return Settled(count, keywords) if by_position else None
