"""Lists that one stretch of code makes, lets grow and asks about, before anything else sees them.

TorchScript writes ``any(x.requires_grad for x in tensors)`` as such a list; if its items are known, so is the answer.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

QUESTIONS: Final = frozenset({"aten::any", "aten::all", "aten::len"})
"""What may be asked of a list without anything else coming to know it."""


@final
class LocalLists:
    """Item names by list name, for the lists of one block that nothing but its own nodes can change."""

    def __init__(self) -> None:
        self._items: dict[str, list[str]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The lists that have not been given to anybody."""
        return frozenset(self._items)

    def make(self, name: str, items: Iterable[str]) -> None:
        """A list is made, empty or with items."""
        self._items[name] = list(items)

    def see(self, operator: str, inputs: list[str]) -> None:
        """A node reads values: appending grows a list, a question leaves it alone, anything else may keep it."""
        if operator == "aten::append" and inputs[0] in self._items:
            self._items[inputs[0]].append(inputs[1])
            self.give_away(inputs[1:])
        elif operator not in QUESTIONS:
            self.give_away(inputs)

    def give_away(self, names: Iterable[str]) -> None:
        """From here on others may change these lists."""
        for name in names:
            self._items.pop(name, None)

    def answer(self, operator: str, name: str, known: Mapping[str, Any]) -> Any:
        """The answer to a question, or None where it depends on what is not known yet."""
        items = self._items.get(name)
        if items is None or operator not in QUESTIONS:
            return None
        if operator == "aten::len":
            return len(items)
        decisive = operator == "aten::any"
        if any(item in known and bool(known[item]) is decisive for item in items):
            return decisive
        return None if any(item not in known for item in items) else not decisive
