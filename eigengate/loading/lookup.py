"""Where in a network an integer input is first looked up in a trained table, whatever format the network came in."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Operation:
    """What matters of a node here, all values by name.

    Args:
        reads: What it computes from; nothing where it looks at no more than shapes and types.
        makes: Its results.
        hands_on: Whether its result are the whole numbers it reads: cast, reshaped, cut, clamped or shifted.
        table: What it looks rows up in, if it is a lookup.
        indices: The numbers of these rows.
    """

    reads: Collection[str]
    makes: Collection[str]
    hands_on: bool = False
    table: str = ""
    indices: str = ""


@final
@dataclass(frozen=True)
class Lookup:
    """A lookup of an input.

    Args:
        place: Of its node among the others.
        table: What it looks rows up in.
        indices: The numbers of the rows.
        input: Name of the input that they are, or are computed from.
        is_plain: Whether they are that input, though in another form.
    """

    place: int
    table: str
    indices: str
    input: str
    is_plain: bool


@final
@dataclass(frozen=True)
class _Origin:
    """Which input a value is computed from, and whether it is that input still, in other form."""

    input: str
    is_plain: bool


def lookups(operations: Iterable[Operation], inputs: Mapping[str, str], trained: Collection[str]) -> Iterator[Lookup]:
    """Every lookup by an input, or by numbers computed from inputs alone, in order.

    Args:
        operations: The nodes, in the order in which they run.
        inputs: Name of the input by value name.
        trained: Values that are parameters: what is computed from them is no input any more.
    """
    origins = {value: _Origin(name, True) for value, name in inputs.items()}
    tainted = set(trained)
    for place, operation in enumerate(operations):
        origin = origins.get(operation.indices)
        if origin is not None:
            yield Lookup(place, operation.table, operation.indices, origin.input, origin.is_plain)
        if not tainted.isdisjoint(operation.reads):
            tainted.update(operation.makes)
        elif (made := _merged(operation, origins)) is not None:
            origins |= dict.fromkeys(operation.makes, made)


def first_lookup(
    operations: Iterable[Operation], inputs: Mapping[str, str], parameters: Collection[str]
) -> Lookup | None:
    """The first lookup of an integer input in a parameter; None if there is none.

    Tokens come before what is computed from them: positions counted by a padding mask are looked up too, and in a table
    of their own. So a lookup of computed numbers is taken only if no input is looked up as it is.
    """
    found = [lookup for lookup in lookups(operations, inputs, parameters) if lookup.table in parameters]
    plain = [lookup for lookup in found if lookup.is_plain]
    return next(iter([*plain, *found]), None)


def _merged(operation: Operation, origins: Mapping[str, _Origin]) -> _Origin | None:
    sources = [origins[name] for name in operation.reads if name in origins]
    if not sources:
        return None
    return _Origin(sources[0].input, operation.hands_on and all(source.is_plain for source in sources))
