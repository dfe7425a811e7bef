"""The graph we compile from: what an exported program says, without how it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

ATEN: Final = "torch.ops.aten."
HIGHER_ORDER: Final = "torch.ops.higher_order."


@final
@dataclass(frozen=True, slots=True)
class Ref:
    """A value that a node or the caller makes, by name."""

    name: str


@final
@dataclass(frozen=True)
class Node:
    """One operator application."""

    target: str
    """What is applied, e.g. ``torch.ops.aten.linear.default``."""
    arguments: tuple[tuple[str, Any], ...]
    """Names, where the operator has some, and values: numbers, texts, types, ``Ref``, ``Graph`` and lists of them."""
    outputs: tuple[Any, ...]
    """Names of the values it makes; a tuple of names for a list of tensors, None for an output that is absent."""

    @property
    def operator(self) -> str:
        """Qualified name without overload, e.g. ``aten::linear``."""
        namespace, _, name = self.target.removeprefix("torch.ops.").partition(".")
        return f"{namespace}::{name.partition('.')[0] if self.target.startswith('torch.ops.') else name}"

    @property
    def label(self) -> str:
        """The name under which the node is reported, unique in its graph."""
        made = next(iter(self.made()), "")
        return f"{self.operator} %{made}" if made else self.operator

    def made(self) -> Iterator[str]:
        """Names of all values it makes."""
        for output in self.outputs:
            if isinstance(output, tuple):
                yield from output
            elif output is not None:
                yield output

    @property
    def results(self) -> tuple[str | None, ...]:
        """Its outputs one by one; what calls a graph gives them as a list in files of PyTorch 2.7 and before."""
        if len(self.outputs) == 1 and isinstance(self.outputs[0], tuple):
            return self.outputs[0]
        return self.outputs

    def argument(self, name: str, default: Any = None) -> Any:
        """The argument of that name."""
        return dict(self.arguments).get(name, default)

    @property
    def positional(self) -> tuple[Any, ...]:
        """All arguments in order."""
        return tuple(value for _, value in self.arguments)


@final
@dataclass(frozen=True)
class Graph:
    """Nodes in order, what they are given and what they give back."""

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Any, ...]
    """``Ref`` or constants."""
    name: str = ""
