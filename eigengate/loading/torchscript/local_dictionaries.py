"""Dictionaries that one stretch of code makes and fills under constant keys, before anything else sees them.

Segmentation networks return such a one: ``result = {}; result["out"] = y; return result``.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

_QUESTIONS: Final = frozenset(
    {"aten::__getitem__", "aten::__contains__", "aten::len", "aten::keys", "aten::values", "aten::items"}
)
"""What may be asked of a dictionary without anything else coming to know it."""


@final
class LocalDictionaries:
    """Item names by key by dictionary name, for the dictionaries of one block that only its own nodes can change."""

    def __init__(self) -> None:
        self._items: dict[str, dict[str, str]] = {}

    def make(self, name: str, items: Mapping[str, str]) -> None:
        """A dictionary is made, empty or with items."""
        self._items[name] = dict(items)

    def see(self, operator: str, inputs: list[str], known: Mapping[str, Any]) -> None:
        """A node reads values: an assignment under a constant text fills a dictionary, anything else may keep it."""
        if operator == "aten::_set_item" and inputs[0] in self._items and isinstance(known.get(inputs[1]), str):
            self._items[inputs[0]][known[inputs[1]]] = inputs[2]
            self.give_away(inputs[1:])
        elif operator not in _QUESTIONS:
            self.give_away(inputs)

    def give_away(self, names: Iterable[str]) -> None:
        """From here on others may change these dictionaries."""
        for name in names:
            self._items.pop(name, None)

    def items(self, name: str) -> dict[str, str] | None:
        """What a dictionary holds now; None where that is not known."""
        return self._items.get(name)
