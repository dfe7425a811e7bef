"""Names of a network's outputs, from the way in which it put them together: tuples, lists, dictionaries."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_DEEPEST: Final = 32
_NAMED_TUPLE: Final = "namedtuple"
_PRINTABLE_LENGTH: Final = 256


def output_names(structure: str, named_tuples: Mapping[str, Sequence[str]], count: int) -> tuple[str, ...]:
    """One name for each output: the keys on the way to it, e.g. ``logits`` or ``states.0``, else ``output_k``.

    Args:
        structure: How PyTorch writes the structure down.
        named_tuples: Field names of named tuples, by type.
        count: How many outputs there are, those that are no tensors included.
    """
    try:
        written = json.loads(structure)[1]
        paths = list(_paths(written, named_tuples, (), 0))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, AttributeError):
        paths = []
    if len(paths) != count:
        paths = [()] * count
    names = [".".join(path) for path in paths]
    unique = {name for name in names if names.count(name) == 1 and name and not _is_position(name)}
    return tuple(name if name in unique else f"output_{index}" for index, name in enumerate(names))


def _is_position(name: str) -> bool:
    return name.replace(".", "").isdigit()


def _paths(
    written: Any, named_tuples: Mapping[str, Sequence[str]], path: tuple[str, ...], depth: int
) -> Iterator[tuple[str, ...]]:
    children = written["children_spec"]
    if written["type"] is None:
        yield path
        return
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    keys = _keys(written, named_tuples, len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _paths(child, named_tuples, (*path, key), depth + 1)


def _keys(written: Any, named_tuples: Mapping[str, Sequence[str]], count: int) -> Sequence[str]:
    context = written["context"]
    if _NAMED_TUPLE in str(written["type"]):
        fields: Any = named_tuples.get(str(context))
    else:
        # Dictionaries write their keys down; dataclasses their fields, with values and without.
        fields = json.loads(context) if isinstance(context, str) else None
        if isinstance(fields, list) and fields and isinstance(fields[0], list):
            fields = fields[0]
    if isinstance(fields, list) and len(fields) == count and all(_is_key(field) for field in fields):
        return fields
    return [str(index) for index in range(count)]


def _is_key(field: Any) -> bool:
    return isinstance(field, str) and 0 < len(field) <= _PRINTABLE_LENGTH and field.isprintable()
