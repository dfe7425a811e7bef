"""What a branch gives back whose condition is not known before the network runs, as far as its two sides agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from eigengate.loading.torchscript.ir import Network

_MISSING = object()


@final
@dataclass(frozen=True)
class Merged:
    """One value that leaves a branch: its name outside, and the name it has at the end of either side."""

    name: str
    sides: tuple[str, str]


def merge(network: Network, name: str, type_: Any, sides: tuple[str, str]) -> Iterator[Merged]:
    """The values that must leave a branch for one output: itself, and for a tuple or dictionary its elements too.

    With the elements under names of their own, what the network returns has a fixed structure although its parts are
    made in a branch. Nothing is yielded for an output that is the same constant on both sides.
    """
    yes, no = sides
    if _is_same_constant(network, yes, no):
        network.known[name] = network.known[yes]
        return
    yield Merged(name, sides)
    if all(side in network.tuples for side in sides):
        yield from _merge_tuples(network, name, type_, (network.tuples[yes], network.tuples[no]))
    elif all(side in network.dictionaries for side in sides):
        yield from _merge_dictionaries(network, name, type_, (network.dictionaries[yes], network.dictionaries[no]))


def _is_same_constant(network: Network, yes: str, no: str) -> bool:
    one, other = (network.known.get(side, _MISSING) for side in (yes, no))
    if one is _MISSING or type(one) is not type(other) or isinstance(one, list | dict):
        return False
    return bool(one == other)


def _merge_tuples(
    network: Network, name: str, type_: Any, sides: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Merged]:
    if type_.kind() != "TupleType" or len(sides[0]) != len(sides[1]):
        return
    elements = []
    for index, (element, *pair) in enumerate(zip(type_.elements(), *sides, strict=True)):
        part = f"{name}[{index}]"
        elements.append(part)
        network.kinds[part] = element.kind()
        yield from merge(network, part, element, (pair[0], pair[1]))
    network.tuples[name] = elements


def _merge_dictionaries(
    network: Network, name: str, type_: Any, sides: tuple[dict[str, str], dict[str, str]]
) -> Iterator[Merged]:
    yes, no = sides
    if type_.kind() != "DictType" or yes.keys() != no.keys():
        return
    value = type_.getValueType()
    parts = {key: f"{name}[{key}]" for key in yes}
    for key, part in parts.items():
        network.kinds[part] = value.kind()
        yield from merge(network, part, value, (yes[key], no[key]))
    network.dictionaries[name] = parts
