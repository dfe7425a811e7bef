"""The graph we compile from: TorchScript's nodes without its modules, constants and dead branches."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor


@final
@dataclass(eq=False)
class Node:
    """One operator application; values are known by name, and names that stand for the same tensor are one name."""

    operator: str
    label: str
    schema: torch._C.FunctionSchema | None
    inputs: list[str]
    outputs: list[str]
    blocks: list["Block"] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def overload(self) -> str:
        """Qualified name with overload, e.g. ``aten::to.dtype``."""
        suffix = self.schema.overload_name if self.schema is not None else ""
        return f"{self.operator}.{suffix}" if suffix else self.operator

    @property
    def changes_first_input(self) -> bool:
        """Whether the operator writes into its first argument."""
        if self.schema is None or not self.schema.arguments:
            return False
        alias = self.schema.arguments[0].alias_info
        return alias is not None and alias.is_write

    @property
    def returns_first_input(self) -> bool:
        """Whether the operator changes its first argument and gives it back, as ``relu_`` does and ``pop`` does not."""
        if not self.changes_first_input or len(self.outputs) != 1 or self.schema is None:
            return False
        alias = self.schema.returns[0].alias_info
        return alias is not None and alias.is_write


@final
@dataclass(eq=False)
class Block:
    """A sequence of nodes with the names it is given and the names it gives back."""

    parameters: list[str]
    nodes: list[Node]
    returns: list[str]

    def reads(self) -> set[str]:
        """Every name that the block or a block in it reads or gives back."""
        inner = (block.reads() for node in self.nodes for block in node.blocks)
        return set(self.returns).union(*(node.inputs for node in self.nodes), *inner)


@final
@dataclass
class Network:
    """A lifted graph and everything its values start from."""

    body: Block
    kinds: dict[str, str]
    """TorchScript type kind by value name, e.g. ``TensorType``."""
    result: Any = None
    """TorchScript type of what the network returns."""
    floating: torch.dtype = torch.float32
    """The floating point type of its tensors."""
    known: dict[str, Any] = field(default_factory=dict)
    """Values that no input can change, tensors apart."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameter name by value name."""
    buffers: dict[str, tuple[str, Tensor]] = field(default_factory=dict)
    """Buffer name and tensor by value name: module buffers and constant tensors."""
    state: dict[str, Any] = field(default_factory=dict)
    """Initial values of attributes that the model itself assigns, by slot name."""
    tuples: dict[str, list[str]] = field(default_factory=dict)
    """Names of the elements of tuples and lists that are put together once and never changed."""
    dictionaries: dict[str, dict[str, str]] = field(default_factory=dict)
    """Value names by key, for dictionaries with constant text keys."""
    local: set[str] = field(default_factory=set)
    """Lists that no other value holds."""

    vanished: set[str] = field(default_factory=set)
    """Operators that lifting removed because they are the identity here."""

    def walk(self) -> Iterator[Node]:
        """All nodes, those inside blocks included."""
        yield from _walk(self.body)


def _walk(block: Block) -> Iterator[Node]:
    for node in block.nodes:
        yield node
        for inner in node.blocks:
            yield from _walk(inner)
