"""Values that no input can change, computed once while the graph is lifted."""

import itertools
from typing import Any, Final, final

from torch import Tensor

from eigengate.loading.torchscript.ir import Network
from eigengate.loading.torchscript.local_lists import LocalLists
from eigengate.loading.torchscript.scalars import ALWAYS, PURE

MAX_CASES: Final = 16
"""How many combinations of possible values are tried before a result counts as unknown."""

_OPTIONAL_KINDS: Final = frozenset({"OptionalType", "NoneType", "AnyType", "UnionType"})
_COMPARISONS: Final = frozenset({"aten::__is__", "aten::__isnot__"})


@final
class Folder:
    """What is known of the values lifted so far; several possible values may still have one consequence."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._choices: dict[str, list[Any]] = {}
        self.lists = LocalLists()

    def values(self, operator: str, names: list[str]) -> list[Any]:
        """Every value that an operator can have here; none at all where that is not known."""
        if operator in _COMPARISONS and names[0] == names[1]:
            return [operator == "aten::__is__"]
        if operator in _COMPARISONS and self._differs_from_none(names):
            return [operator == "aten::__isnot__"]
        if operator in ALWAYS and self._network.kinds.get(names[0]) == "TensorType":
            return [ALWAYS[operator]]
        answer = self.lists.answer(operator, names[0], self._network.known) if names else None
        if answer is not None:
            return [answer]
        return self._computed(operator, [self._possible(name) for name in names])

    def restrict(self, name: str, values: list[Any]) -> None:
        """A value is one of these, whichever way the network goes."""
        self._choices[name] = values

    def join(self, name: str, sides: tuple[str, str]) -> None:
        """A value is that of one side of a branch or of the other."""
        yes, no = (self._possible(side) for side in sides)
        if yes and no:
            self.restrict(name, yes + no)
        kinds = {self._network.kinds.get(side) for side in sides}
        if len(kinds) == 1 and kinds.isdisjoint(_OPTIONAL_KINDS | {None}):
            self._network.kinds[name] = str(kinds.pop())

    def _possible(self, name: str) -> list[Any]:
        known = self._network.known
        return [known[name]] if name in known else self._choices.get(name, [])

    def _computed(self, operator: str, possible: list[list[Any]]) -> list[Any]:
        function = PURE.get(operator)
        if function is None or not all(possible):
            return []
        cases = list(itertools.islice(itertools.product(*possible), MAX_CASES + 1))
        if len(cases) > MAX_CASES:
            return []
        try:
            results = [function(*case) for case in cases]
        except Exception:
            return []  # whatever it is, it must happen when the network runs
        if any(isinstance(result, Tensor) for result in results):
            return []
        return results[:1] if all(_is_same(results[0], result) for result in results) else results

    def _differs_from_none(self, names: list[str]) -> bool:
        known, kinds = self._network.known, [self._network.kinds.get(name) for name in names]
        nones = [name in known and known[name] is None for name in names]
        return any(none and other not in _OPTIONAL_KINDS for none, other in zip(nones, reversed(kinds), strict=True))


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
