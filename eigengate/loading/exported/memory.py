"""Which values share memory, so that operators that work in place run as functions without changing a result.

A fresh result has memory of its own, a *root*; a view shows the memory of its base. Writing into a value makes a new
version of it, puts that back into its base, base after base down to the root, and counts the root's versions: whoever
reads a view of an older version next is given the view anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.errors import ModelLoadError
from eigengate.loading.exported.grammar import EXPORT_AGAIN
from eigengate.loading.exported.refusals import Refusal
from eigengate.loading.torchscript.views import WRITE_BACK

# They show the memory of their argument or copy it, whichever its strides allow.
_MAY_COPY: Final = frozenset(
    f"aten::{name}"
    for name in ("reshape", "reshape_as", "flatten", "ravel", "contiguous", "to", "type_as", "_reshape_alias")
)
_UNCLEAR: Final = "it reads a tensor that may share memory with one that is changed in place before"

Emit = Callable[[Callable[..., Any], tuple[int, ...]], int]
"""Adds a call to the plan: function and slots of its arguments, to the slot of its result."""


@final
@dataclass
class _Root:
    """A piece of memory."""

    first: int
    """Where its first version is."""
    version: int = 0
    is_torn: bool = False
    """Something was written that may or may not have been this memory."""


@final
@dataclass(frozen=True)
class View:
    """How a value shows its base."""

    base: str
    operator: str
    function: Callable[..., Any]
    """Base and the other arguments to the value."""
    others: tuple[int, ...]
    """Slots of the other arguments."""
    item: int | None = None
    """Its place in the list that the function gives, if it gives one."""

    def shown(self, *arguments: Any) -> Any:
        """The value."""
        result = self.function(*arguments)
        return result if self.item is None else result[self.item]

    @property
    def write_back(self) -> Callable[..., Tensor] | None:
        """Base, changed value and the other arguments to the changed base, if there is such a function."""
        if self.item is not None:
            return self._with_item if self.operator in _DIM_PLACE else None
        return _MORE_WRITE_BACK.get(self.operator) or WRITE_BACK.get(self.operator)

    def _with_item(self, base: Tensor, changed: Tensor, *others: Any) -> Tensor:
        parts = list(self.function(base, *others))
        parts[self.item or 0] = changed
        dim = others[-1] if len(others) > _DIM_PLACE[self.operator] else 0
        return torch.stack(parts, dim) if self.operator == "aten::unbind" else torch.cat(parts, dim)


_DIM_PLACE: Final[Mapping[str, int]] = {
    "aten::unbind": 0,
    "aten::split": 1,
    "aten::split_with_sizes": 1,
    "aten::chunk": 1,
    "aten::tensor_split": 1,
}
"""Operators that cut a tensor into parts, and which of their other arguments is the dimension."""

_MORE_WRITE_BACK: Final[Mapping[str, Callable[..., Tensor]]] = {
    "aten::alias": lambda _, changed: changed,
    "aten::diagonal": torch.diagonal_scatter,
}


@final
@dataclass
class _Place:
    slot: int
    root: _Root
    version: int = 0
    view: View | None = None


@final
@dataclass
class Memory:
    """The values made so far."""

    emit: Emit
    _places: dict[str, _Place] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    """First slots of the pieces of memory that something was written into."""

    def make(self, name: str, slot: int) -> None:
        """Enter a value with memory of its own."""
        self._enter(name, _Place(slot, _Root(slot)))

    def show(self, name: str, slot: int, view: View) -> None:
        """Enter a view."""
        base = self._place(view.base)
        self._enter(name, _Place(slot, base.root, base.root.version, view))

    def rename(self, name: str, old: str) -> None:
        """Enter a second name of a value."""
        self._enter(name, self._place(old))

    def reshape(self, name: str, slot: int, view: View) -> None:
        """Make a value, under all its names, a view of what it was until now, which gets the name ``view.base``."""
        place = self._place(name)
        self._enter(view.base, replace(place))
        for other in self._places.values():
            if other.view is not None and self._places.get(other.view.base) is place:
                other.view = replace(other.view, base=view.base)
        place.slot, place.version, place.view = slot, place.root.version, view

    def read(self, name: str) -> int:
        """The slot of a value as it is now.

        Raises:
            Refusal: It cannot be told what it is now.
        """
        place = self._place(name)
        if place.version != place.root.version:
            self._refresh(place)
        return place.slot

    def write(self, name: str, slot: int) -> None:
        """Give a value new content, which its base and everybody else who shows that memory then has.

        Raises:
            Refusal: It cannot be put back.
        """
        place = self._place(name)
        root, climbed = place.root, [(place, slot)]
        self.written.add(root.first)
        while place.view is not None:
            put_back = place.view.write_back
            if place.view.operator in _MAY_COPY or put_back is None:
                self._tear(climbed, root)
                return
            base = self.read(place.view.base)
            slot = self.emit(put_back, (base, slot, *place.view.others))
            place = self._place(place.view.base)
            climbed.append((place, slot))
        root.version += 1
        for each, content in climbed:
            each.slot, each.version = content, root.version

    def _tear(self, climbed: list[tuple[_Place, int]], root: _Root) -> None:
        """What was written now stands alone; nobody may read what it may have been part of."""
        root.is_torn, root.version = True, root.version + 1
        place, content = climbed[-1]
        own = _Root(root.first)
        place.view, place.root, place.slot, place.version = None, own, content, 0
        for each, slot in climbed[:-1]:
            each.root, each.slot, each.version = own, slot, 0

    def _refresh(self, place: _Place) -> None:
        if place.root.is_torn or place.view is None or place.view.operator in _MAY_COPY:
            raise Refusal(_UNCLEAR)
        base = self.read(place.view.base)
        place.slot = self.emit(place.view.shown, (base, *place.view.others))
        place.version = place.root.version

    def _enter(self, name: str, place: _Place) -> None:
        if name in self._places:
            raise ModelLoadError(f"the exported program makes the value {name!r} twice", hint=EXPORT_AGAIN)
        self._places[name] = place

    def _place(self, name: str) -> _Place:
        if name not in self._places:
            raise ModelLoadError(f"the exported program uses the value {name!r} before it is made", hint=EXPORT_AGAIN)
        return self._places[name]
