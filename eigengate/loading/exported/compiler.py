"""Turn a graph into an execution plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.loading.exported.calls import DRAWS, Call, Operator, call_of, drawing, operator_of
from eigengate.loading.exported.graph import HIGHER_ORDER, Graph, Node, Ref
from eigengate.loading.exported.inlining import inlined
from eigengate.loading.exported.memory import Memory, View
from eigengate.loading.exported.numbers import ASSERTION, NUMBERS, READS_DATA, WITHOUT_EFFECT, require
from eigengate.loading.exported.plan import Plan, Step, needed, step
from eigengate.loading.exported.refusals import Refusal, refused
from eigengate.loading.torchscript.draws import Draws
from eigengate.loading.torchscript.precision import Precision

COND: Final = f"{HIGHER_ORDER}cond"
_MOST_NESTED: Final = 20

# They give back the very tensor that they are given.
IDENTITIES: Final = frozenset({"aten::alias", "aten::detach", "aten::detach_", "aten::lift_fresh"})
DROPOUTS: Final = frozenset(
    f"aten::{name}{suffix}"
    for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    for suffix in ("", "_")
)


@final
@dataclass(frozen=True)
class Tensors:
    """What a graph takes from the file: parameter names and constant values, by value name."""

    parameters: Mapping[str, str]
    constants: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Compiled:
    """A plan and what is to be said about it."""

    plan: Plan
    reads_data: tuple[str, ...]
    """Labels of the nodes that turn tensor data into numbers or choose a branch by it."""
    drawing: tuple[str, ...]
    """Names of the operators that draw random numbers."""
    read: tuple[str, ...]
    """Values of the file that the outputs depend on."""
    written: tuple[str, ...]
    """Values of the file that the graph writes into."""


def compiled(
    graph: Graph,
    tensors: Tensors,
    inputs: Sequence[str],
    outputs: Sequence[Any],
    precision: Precision,
    floating: torch.dtype = torch.float32,
) -> Compiled:
    """Compile a graph.

    Args:
        graph: The graph.
        tensors: What it takes from the file.
        inputs: The names of what the caller gives.
        outputs: What is wanted of it, ``Ref`` or constants.
        precision: Where and in which floating point type it computes.
        floating: The floating point type of the file.

    Raises:
        UnsupportedOperatorError: Some nodes have no pure function; all of them are listed.
        QuantizedModelError: The network is quantised.
    """
    compiler = _Compiler(precision, floating)
    result = compiler.compiled(graph, tensors, inputs, outputs)
    if compiler.refused:
        raise refused(compiler.refused)
    return result


@final
class _Compiler:
    def __init__(self, precision: Precision, floating: torch.dtype, depth: int = 0) -> None:
        self.precision = precision
        self.floating = floating
        self.depth = depth
        self.template: list[Any] = []
        self.steps: list[Step] = []
        self.memory = Memory(self._emit_unnamed)
        self.refused: list[tuple[Node, str]] = []
        self.reads_data: list[str] = []
        self.lists: dict[tuple[int, ...], int] = {}
        self.draws = self.slot()
        self.memory.make(DRAWS.name, self.draws)

    def compiled(self, graph: Graph, tensors: Tensors, inputs: Sequence[str], outputs: Sequence[Any]) -> Compiled:
        named: dict[int, str] = {}
        for name in (*tensors.parameters, *tensors.constants, *inputs):
            slot = self.slot(self.precision.convert(tensors.constants.get(name)))
            named[slot] = name
            self.memory.make(name, slot)
        for node in inlined(graph).nodes:
            self._attempt(node)
        results = self._results(outputs)
        steps = self._needed(results)
        read = {slot for step in steps for slot in step.reads} | set(results)
        places = {name: slot for slot, name in named.items()}
        given = {places[name] for name in inputs}
        written = self.memory.written & named.keys() - given
        plan = Plan(
            steps=steps,
            template=tuple(self.template),
            parameters={places[value]: name for value, name in tensors.parameters.items() if places[value] in read},
            inputs=tuple(places[name] for name in inputs),
            outputs=results,
            randomness=lambda: Draws(self.precision, self.floating),
            draws=self.draws if self.draws in read else None,
        )
        drawn = {step.operator for step in steps if self.draws in step.reads}
        return Compiled(
            plan,
            tuple(self.reads_data),
            drawing=tuple(sorted(drawn)),
            read=tuple(named[slot] for slot in sorted(read & named.keys() - given)),
            written=tuple(named[slot] for slot in sorted(written)),
        )

    def _needed(self, results: tuple[int, ...]) -> tuple[Step, ...]:
        """The steps that count; random numbers that nobody reads do, for they move the stream of all others."""
        steps = needed(self.steps, results)
        if not any(self.draws in step.reads for step in steps):
            return steps
        return needed([replace(s, must_run=s.must_run or self.draws in s.reads) for s in self.steps], results)

    def _results(self, outputs: Sequence[Any]) -> tuple[int, ...]:
        try:
            return () if self.refused else tuple(self._source(output) for output in outputs)
        except Refusal as refusal:
            self.refused.append((Node("torch.ops.aten.alias.default", (), ("output",)), refusal.reason))
            return ()

    def slot(self, start: Any = None) -> int:
        self.template.append(start)
        return len(self.template) - 1

    def _attempt(self, node: Node) -> None:
        try:
            self._node(node)
        except Refusal as refusal:
            self.refused.append((node, refusal.reason))
            for name in node.made():
                self.memory.make(name, self.slot())

    def _node(self, node: Node) -> None:
        if node.target in WITHOUT_EFFECT:
            return
        if node.target == ASSERTION:
            self._assertion(node)
        elif node.target in NUMBERS:
            self._number(node)
        elif node.target == COND:
            self._branch(node)
        elif self._is_identity(node):
            self._identity(node)
        else:
            self._operator(node)

    # Operators of the dispatcher.

    def _operator(self, node: Node) -> None:
        operator = operator_of(node)
        if self.depth and drawing(node) is not None:
            raise Refusal("it draws random numbers inside a branch")
        call = call_of(node, operator, self.precision)
        viewed = operator.viewed
        if operator.reshapes_first_argument:
            self._reshape(node, operator, call)
        elif operator.changes_first_argument:
            self._in_place(node, call)
        elif viewed is not None:
            self._view(node, operator, call, viewed)
        else:
            for name, slot in zip(node.made(), self._result(node, call, operator.gives_list), strict=True):
                self.memory.make(name, slot)

    def _result(self, node: Node, call: Call, gives_list: bool) -> tuple[int, ...]:
        """Add the call; the slots of the values it makes."""
        function, outputs = call.function, node.outputs
        if gives_list:
            (outputs,) = outputs
        elif len(outputs) == 1:
            return (self._add(call, self.slot(), node),)
        elif any(isinstance(output, tuple) for output in outputs):
            function, outputs = _flattening(function), tuple(node.made())
        targets = tuple(self.slot() for _ in outputs)
        self._add(Call(function, call.positional, call.keywords), targets, node)
        return tuple(target for target, output in zip(targets, outputs, strict=True) if output is not None)

    def _add(self, call: Call, targets: int | tuple[int, ...], node: Node) -> int:
        sources = tuple(self._source(value) for value in call.positional)
        keywords = {name: self._source(value) for name, value in call.keywords.items()}
        self.steps.append(step(call.function, sources, keywords, targets, (node.operator, node.label)))
        return targets if isinstance(targets, int) else -1

    def _in_place(self, node: Node, call: Call) -> None:
        target = call.positional[0]
        if not isinstance(target, Ref) or len(node.outputs) > 1:
            raise Refusal("it writes into something that is no tensor")
        self.memory.write(target.name, self._add(call, self.slot(), node))
        for name in node.made():
            self.memory.rename(name, target.name)

    def _reshape(self, node: Node, operator: Operator, call: Call) -> None:
        target = call.positional[0]
        if not isinstance(target, Ref):
            raise Refusal("it reshapes something that is no tensor")
        others = tuple(self._source(value) for value in call.positional[1:])
        view = View(f"{target.name} before {node.label}", operator.name.removesuffix("_"), call.function, others)
        self.memory.reshape(target.name, self._add(call, self.slot(), node), view)
        for name in node.made():
            self.memory.rename(name, target.name)

    def _view(self, node: Node, operator: Operator, call: Call, viewed: str) -> None:
        base = call.positional[0]
        if node.argument(viewed) != base or not isinstance(base, Ref):
            raise Refusal("it shows the memory of another argument than its first")
        slots = self._result(node, call, operator.gives_list)
        function = _by_position(call.function, len(call.positional), tuple(call.keywords))
        others = tuple(self._source(value) for value in (*call.positional[1:], *call.keywords.values()))
        for index, (name, slot) in enumerate(zip(node.made(), slots, strict=True)):
            item = index if operator.gives_list else None
            self.memory.show(name, slot, View(base.name, operator.name, function, others, item))

    # What is no call of the dispatcher.

    def _is_identity(self, node: Node) -> bool:
        if node.operator in DROPOUTS:
            return node.argument("train") is False
        return node.operator in IDENTITIES

    def _identity(self, node: Node) -> None:
        value = node.positional[0] if node.arguments else None
        for name in node.made():
            if isinstance(value, Ref) and node.operator.endswith("_"):
                self.memory.rename(name, value.name)
            elif isinstance(value, Ref):
                # Another tensor with the same memory, which may get a shape of its own.
                view = View(value.name, "aten::alias", lambda base: base, ())
                self.memory.show(name, self._source(value), view)
            else:
                self.memory.make(name, self._source(value))

    def _number(self, node: Node) -> None:
        if len(list(node.made())) != 1 or len(node.outputs) != 1:
            raise Refusal("it does not give one number")
        if node.target in READS_DATA:
            self.reads_data.append(node.label)
        slot = self._add(Call(NUMBERS[node.target], node.positional), self.slot(), node)
        self.memory.make(next(node.made()), slot)

    def _assertion(self, node: Node) -> None:
        sources = tuple(self._source(value) for value in node.positional)
        self.steps.append(replace(step(require, sources, {}, self.slot(), (node.operator, "")), must_run=True))

    def _branch(self, node: Node) -> None:
        match node.positional:
            case (condition, Graph() as yes, Graph() as no, list() as operands) if self.depth < _MOST_NESTED:
                plans = [self._inner(graph, len(operands), len(node.results), node) for graph in (yes, no)]
            case _:
                raise Refusal("its arguments are not a condition, two branches and their operands")
        self.reads_data.append(node.label)

        def run(condition: Any, *values: Any) -> tuple[Any, ...]:
            return plans[0 if bool(condition) else 1].run({}, values)

        targets = tuple(self.slot() for _ in node.results)
        self._add(Call(run, (condition, *operands)), targets, node)
        for name, slot in zip(node.results, targets, strict=True):
            if name is not None:
                self.memory.make(name, slot)

    def _inner(self, graph: Graph, operands: int, outputs: int, node: Node) -> Plan:
        if len(graph.inputs) != operands or len(graph.outputs) != outputs:
            raise Refusal("a branch takes or gives something else")
        compiler = _Compiler(self.precision, self.floating, self.depth + 1)
        result = compiler.compiled(graph, Tensors({}, {}), graph.inputs, graph.outputs)
        self.refused += compiler.refused
        self.reads_data += compiler.reads_data
        # Its operands have the first slots.
        if not compiler.memory.written.isdisjoint(range(operands)):
            raise Refusal("a branch writes into what it is given")
        return result.plan

    # Slots.

    def _source(self, value: Any) -> int:
        """The slot of an argument, made for it if need be."""
        if isinstance(value, Ref):
            return self.memory.read(value.name)
        if isinstance(value, list | tuple) and _has_values(value):
            items = tuple(self._source(item) for item in value)
            if items not in self.lists:
                self.lists[items] = self._emit_unnamed(lambda *items: list(items), items)
            return self.lists[items]
        if isinstance(value, Graph | dict):
            raise Refusal("it takes a graph or a dictionary")
        return self.slot(self.precision.convert(value) if isinstance(value, Tensor) else value)

    def _emit_unnamed(self, function: Callable[..., Any], sources: tuple[int, ...]) -> int:
        target = self.slot()
        self.steps.append(step(function, sources, {}, target, ("", "")))
        return target


def _has_values(value: Sequence[Any]) -> bool:
    return any(isinstance(item, Ref) or (isinstance(item, list | tuple) and _has_values(item)) for item in value)


def _by_position(function: Callable[..., Any], count: int, names: tuple[str, ...]) -> Callable[..., Any]:
    """The function with its keyword arguments behind the others."""
    if not names:
        return function
    return lambda *arguments: function(*arguments[:count], **dict(zip(names, arguments[count:], strict=True)))


def _flattening(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """The function with all tensors of its results in one list."""

    def call(*arguments: Any, **keywords: Any) -> list[Any]:
        results = function(*arguments, **keywords)
        return [item for result in results for item in (result if isinstance(result, list | tuple) else (result,))]

    return call
