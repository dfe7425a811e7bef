"""A graph compiled to steps over numbered slots: what a program runs, and every branch and loop body in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import final

from torch import Tensor

from eigengate.errors import EigengateError, ModelLoadError
from eigengate.loading.onnx.binding import Kernel, bind
from eigengate.loading.onnx.graph import Graph, Node
from eigengate.loading.onnx.placement import Placement
from eigengate.loading.onnx.registry import Body, find_operator
from eigengate.loading.onnx.step import ABSENT, Captured, Step, Value, enter, execution_error, naming

_SHAPE_READERS = frozenset({"Shape", "Size"})


@final
class Block:
    """A compiled graph: ``block(*inputs, *captured)`` gives its outputs.

    What depends on constants alone is computed while compiling, once. Names in ``arguments`` are fed on every call
    in that order; ``on_host`` names those of them that are made of shapes rather than of data.
    """

    def __init__(
        self,
        graph: Graph,
        placement: Placement,
        *,
        arguments: Sequence[str],
        constants: Mapping[str, Tensor],
        on_host: frozenset[str] = frozenset(),
    ) -> None:
        compiler = _Compiler(placement, arguments, constants, on_host)
        for node in graph.nodes:
            compiler.add(node)
        self.outputs = graph.outputs
        self._steps, self._template, self._results = compiler.finish(graph.outputs)
        self._arguments = range(1, len(arguments) + 1)

    def __call__(self, *arguments: Value) -> tuple[Value, ...]:
        slots = self._fill(arguments)
        try:
            for step in self._steps:
                step.run(slots)
        except EigengateError:
            raise
        except Exception as error:
            raise execution_error(step.node, error) from error
        return tuple([slots[i] for i in self._results])

    def watch(self, *arguments: Value) -> Iterator[tuple[str, Value]]:
        """The same, yielding each named value as it is made."""
        slots = self._fill(arguments)
        for step in self._steps:
            with naming(step.node):
                replace(step, frees=()).run(slots)
            yield from (
                (name, slots[i]) for name, i in zip(step.node.outputs, step.writes, strict=False) if i != ABSENT
            )
            for slot in step.frees:
                slots[slot] = None

    def _fill(self, arguments: Sequence[Value]) -> list[Value]:
        slots = self._template.copy()
        slots[1 : len(self._arguments) + 1] = arguments
        return slots


@final
class _Compiler:
    """Assigns slots to names, evaluates what is constant, and finally drops what no output needs."""

    def __init__(
        self, placement: Placement, arguments: Sequence[str], constants: Mapping[str, Tensor], on_host: frozenset[str]
    ) -> None:
        self._placement = placement
        self._slots = {"": ABSENT} | {name: slot for slot, name in enumerate(arguments, start=1)}
        self._known: dict[str, Value] = {name: placement.place(value) for name, value in constants.items()}
        self._on_host = set(on_host)
        self._steps: list[Step] = []

    def add(self, node: Node) -> None:
        op = find_operator(node)
        if op is None:
            raise ModelLoadError(f"operator {node.qualified} is not supported")
        kernel = bind(op, node, self._placement)
        captured = {name for subgraph in node.subgraphs for name in subgraph.captured}
        read = ({*node.inputs} | captured) - {""}
        if unknown := sorted(name for name in read if name not in self._slots and name not in self._known):
            raise ModelLoadError(f"node '{node.label}' reads '{unknown[0]}', which nothing makes")
        if read <= set(self._known):
            self._evaluate(node, kernel)
        else:
            self._schedule(node, kernel, self._is_on_host(node, read))

    def _evaluate(self, node: Node, kernel: Kernel) -> None:
        with naming(node):
            results = kernel(*[self._known.get(name) for name in node.inputs], **self._closed_bodies(node))
        values = results if isinstance(results, tuple) else (results,)
        self._known |= {name: value for name, value in zip(node.outputs, values, strict=False) if name}

    def _closed_bodies(self, node: Node) -> dict[str, Body]:
        closed: dict[str, Body] = {}
        for name, graph in _subgraphs(node):
            block = self._body(graph, frozenset(self._known))
            closed[name] = partial(enter, block, [self._known[outer] for outer in graph.captured])
        return closed

    def _schedule(self, node: Node, kernel: Kernel, on_host: bool) -> None:
        for name in node.outputs:
            self._slots.setdefault(name, len(self._slots))
        if on_host:
            self._on_host.update(node.outputs)
        self._steps.append(
            Step(
                node=node,
                kernel=kernel,
                bodies=self._bodies(node, frozenset(self._on_host)),
                reads=tuple(self._slot(name) for name in node.inputs),
                writes=tuple(self._slots[name] for name in node.outputs),
                frees=(),
                on_host=on_host,
            )
        )

    def _bodies(self, node: Node, on_host: frozenset[str]) -> dict[str, Captured]:
        return {
            name: (
                self._body(graph, on_host | (set(self._known) & set(graph.captured))),
                tuple(self._slot(outer) for outer in graph.captured),
            )
            for name, graph in _subgraphs(node)
        }

    def _body(self, graph: Graph, on_host: frozenset[str]) -> Block:
        fed = [spec.name for spec in graph.inputs]
        arguments = [*fed, *graph.captured]
        return Block(graph, self._placement, arguments=arguments, constants=graph.constants, on_host=on_host)

    def _slot(self, name: str) -> int:
        return self._slots.setdefault(name, len(self._slots))

    def _is_on_host(self, node: Node, read: set[str]) -> bool:
        return node.operator in _SHAPE_READERS or all(name in self._known or name in self._on_host for name in read)

    def finish(self, outputs: Sequence[str]) -> tuple[tuple[Step, ...], list[Value], tuple[int, ...]]:
        for name in outputs:
            if name not in self._slots and name not in self._known:
                raise ModelLoadError(f"nothing makes the output '{name}'")
        results = tuple(self._slot(name) for name in outputs)
        steps = _with_lifetimes(self._steps, results)
        template: list[Value] = [None] * len(self._slots)
        needed = {slot for step in steps for slot in step.touched} | set(results)
        for name, slot in self._slots.items():
            if name in self._known and slot in needed:
                template[slot] = self._known[name]
        return steps, template, results


def _subgraphs(node: Node) -> Iterator[tuple[str, Graph]]:
    return ((name, value) for name, value in node.attributes.items() if isinstance(value, Graph))


def _with_lifetimes(steps: Sequence[Step], results: tuple[int, ...]) -> tuple[Step, ...]:
    """Drop steps that no result needs and let every value go after its last reader."""
    needed = set(results) | {ABSENT}
    kept: list[Step] = []
    for step in reversed(steps):
        written = set(step.writes) - {ABSENT}
        if written.isdisjoint(needed):
            continue
        last_read = set(step.touched) - needed
        unread = written - needed
        kept.append(replace(step, frees=tuple(sorted(last_read | unread))))
        needed |= last_read
    return tuple(reversed(kept))
