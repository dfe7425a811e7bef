"""One node of a compiled graph, ready to run over numbered slots."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

from torch.utils._python_dispatch import _disable_current_modes, is_in_torch_dispatch_mode

from eigengate.errors import EigengateError, MemoryExhaustedError, ModelExecutionError
from eigengate.loading.onnx.binding import Kernel
from eigengate.loading.onnx.graph import Node
from eigengate.loading.onnx.registry import Body
from eigengate.refused_allocation import is_refused_allocation

Value = Any
"""A tensor, a list of tensors, or None where an optional is empty."""
Captured = tuple[Callable[..., tuple[Value, ...]], tuple[int, ...]]
"""A subgraph, and the slots of what it reads from around it."""

ABSENT = 0
"""The slot of optional operands that are not given; results nobody reads are dropped there too."""


@final
@dataclass(frozen=True)
class Step:
    """Which slots a node reads and writes, which it is the last to need, and how it computes.

    ``run(slots)`` takes the shortest way that the node allows: most have neither subgraphs nor shapes to compute, so
    that nothing but a list of operands stands between the loop over the steps and the function.
    """

    node: Node
    kernel: Kernel
    bodies: Mapping[str, Captured]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    frees: tuple[int, ...]
    on_host: bool

    @property
    def touched(self) -> tuple[int, ...]:
        """Every slot that is read, by the node itself or inside its subgraphs."""
        return (*self.reads, *(slot for _, captured in self.bodies.values() for slot in captured))

    @cached_property
    def run(self) -> Callable[[list[Value]], None]:
        compute = self._with_bodies if self.bodies else self._plain
        return self._off_the_record(compute) if self.on_host else compute

    @cached_property
    def _plain(self) -> Callable[[list[Value]], None]:
        kernel, reads, writes, frees = self.kernel, self.reads, self.writes, self.frees

        def run(slots: list[Value]) -> None:
            _store(slots, kernel(*[slots[i] for i in reads]), writes, frees)

        return run

    def _with_bodies(self, slots: list[Value]) -> None:
        bodies: dict[str, Body] = {
            name: partial(enter, block, [slots[i] for i in captured]) for name, (block, captured) in self.bodies.items()
        }
        _store(slots, self.kernel(*[slots[i] for i in self.reads], **bodies), self.writes, self.frees)

    @staticmethod
    def _off_the_record(compute: Callable[[list[Value]], None]) -> Callable[[list[Value]], None]:
        """Shape arithmetic is about numbers, not data: it must not leave traces in a graph being recorded."""

        def run(slots: list[Value]) -> None:
            if is_in_torch_dispatch_mode():
                with _disable_current_modes():
                    compute(slots)
            else:
                compute(slots)

        return run


def _store(slots: list[Value], result: Value, writes: tuple[int, ...], frees: tuple[int, ...]) -> None:
    if type(result) is tuple:
        for slot, value in zip(writes, result, strict=False):
            slots[slot] = value
        slots[ABSENT] = None
    else:
        slots[writes[0]] = result
    for slot in frees:
        slots[slot] = None


def enter(block: Callable[..., tuple[Value, ...]], captured: Sequence[Value], *inputs: Value) -> tuple[Value, ...]:
    """Run a subgraph with what it is fed and what it sees of the graph around it."""
    return block(*inputs, *captured)


@contextmanager
def naming(node: Node) -> Iterator[None]:
    """Whatever is raised inside, as an error that names the node."""
    try:
        yield
    except EigengateError:
        raise
    except Exception as error:
        raise execution_error(node, error) from error


def execution_error(node: Node, error: Exception) -> EigengateError:
    """What torch raised in a node, as an error that names it."""
    if is_refused_allocation(error):
        return MemoryExhaustedError(f"out of memory in node '{node.label}' ({node.qualified}): {error}")
    return ModelExecutionError(
        f"node '{node.label}' ({node.qualified}) failed: {error}",
        hint="Check that the probe data has the shapes and types the model was exported with.",
        context={"node": node.label, "operator": node.operator, "domain": node.domain or "ai.onnx"},
    )
