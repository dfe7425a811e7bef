"""The network as we keep it: a flat list of nodes over named values, free of protobuf."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from eigengate.loading.program import TensorSpec


@final
@dataclass(frozen=True)
class Node:
    """One operator application; an absent optional input or output is named ``""``."""

    domain: str
    operator: str
    version: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, "Attribute"] = field(default_factory=dict)

    @property
    def qualified(self) -> str:
        """The operator with its domain, e.g. ``ai.onnx::Conv``."""
        return f"{self.domain or 'ai.onnx'}::{self.operator}"

    @property
    def label(self) -> str:
        """What to call this node in a message: its name, or the first value it makes."""
        return self.name or next((output for output in self.outputs if output), self.operator)

    @property
    def subgraphs(self) -> Iterator["Graph"]:
        return (value for value in self.attributes.values() if isinstance(value, Graph))


@final
@dataclass(frozen=True)
class Graph:
    """Nodes in order, with function bodies already expanded and ``Constant`` nodes turned into ``constants``.

    Args:
        inputs: What the caller feeds.
        outputs: Names of what comes out.
        nodes: In an order in which they can run.
        constants: Initialisers and literals by name, in their declared types.
        literals: Names in ``constants`` that were ``Constant`` nodes rather than initialisers.
        declared: What the exporter says a constant is (``PARAMETER``, ``BUFFER``, ...), where it says so.
        notes: What a reader of the report must know about this graph.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    literals: frozenset[str] = frozenset()
    declared: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Every node, those of subgraphs included, before the node that holds them."""
        for node in self.nodes:
            for subgraph in node.subgraphs:
                yield from subgraph.walk()
            yield node

    @property
    def captured(self) -> tuple[str, ...]:
        """Names this graph reads from around it, in order of first use."""
        own = {spec.name for spec in self.inputs} | set(self.constants) | {""}
        free: dict[str, None] = {}
        for node in self.nodes:
            inner = [name for subgraph in node.subgraphs for name in subgraph.captured]
            free.update(dict.fromkeys(name for name in [*node.inputs, *inner] if name not in own))
            own.update(node.outputs)
        free.update(dict.fromkeys(name for name in self.outputs if name not in own))
        return tuple(free)


Attribute = int | float | str | Tensor | Graph | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
