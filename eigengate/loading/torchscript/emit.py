"""Turn a lifted network into an execution plan: control flow, containers and the model's own exceptions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch

from eigengate.errors import ModelExecutionError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.torchscript.aliasing import analyse
from eigengate.loading.torchscript.allowed import QUANTIZED_NAMESPACES, QUANTIZING_OPERATORS
from eigengate.loading.torchscript.calls import Call, Refusal, functional
from eigengate.loading.torchscript.draws import Draws
from eigengate.loading.torchscript.ir import Block, Network, Node
from eigengate.loading.torchscript.kinds import is_of_type
from eigengate.loading.torchscript.plan import Frame, Plan, Step, execute, with_frees
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.signature import Output
from eigengate.loading.torchscript.views import WRITE_BACK

# The name of where random numbers come from, which no value of a graph has.
_DRAWS: Final = "random numbers"


def emit(network: Network, outputs: Sequence[Output], precision: Precision) -> Plan:
    """Compile a network.

    Raises:
        UnsupportedOperatorError: Some nodes have no pure function; all of them are listed.
        QuantizedModelError: The network is quantised.
    """
    emitter = _Emitter(network, precision)
    steps = emitter.steps(network.body)
    if emitter.refused:
        raise _refusal(emitter.refused)
    results = tuple((emitter.tensor_slot(output.name, steps), output.path) for output in outputs)
    steps = list(with_frees(steps, [slot for slot, _ in results]))
    # Before the template is read: an input that no node uses has no slot yet.
    inputs = tuple(emitter.slot(name) for name in network.body.parameters)
    return Plan(
        steps=tuple(steps),
        template=tuple(emitter.template),
        parameters={
            emitter.slots[name]: parameter for name, parameter in network.parameters.items() if name in emitter.slots
        },
        inputs=inputs,
        outputs=results,
        fresh=tuple(
            emitter.slots[name]
            for name in network.state
            if name in emitter.slots and _is_container(network.state[name])
        ),
        reads_data=tuple(emitter.reads_data),
        draws=emitter.slots.get(_DRAWS),
        randomness=lambda: Draws(precision, network.floating),
    )


def _is_container(value: Any) -> bool:
    return isinstance(value, list | dict)


def _refusal(refused: Sequence[tuple[Node, str]]) -> UnsupportedOperatorError | QuantizedModelError:
    nodes = [
        {"name": node.label, "operator": node.operator, "domain": node.operator.partition("::")[0], "version": None}
        for node, _ in refused
    ]
    reasons = dict.fromkeys(f"{node.operator} ({reason})" for node, reason in refused)
    listed = "; ".join(list(reasons)[:20])
    if any(_is_quantized(node.operator) for node, _ in refused):
        return QuantizedModelError(
            f"The model is quantised: {listed}",
            hint="Audit the floating point model it was made from.",
            context={"nodes": nodes},
        )
    return UnsupportedOperatorError(
        f"{len(nodes)} node(s) cannot be turned into a differentiable function: {listed}",
        hint="Export the plain model in evaluation mode, without torch.jit.optimize_for_inference.",
        context={"nodes": nodes},
    )


def _is_quantized(operator: str) -> bool:
    return operator.partition("::")[0] in QUANTIZED_NAMESPACES or operator in QUANTIZING_OPERATORS


@final
class _Emitter:
    def __init__(self, network: Network, precision: Precision) -> None:
        self.network = network
        self.precision = precision
        self.aliasing = analyse(network)
        self.slots: dict[str, int] = {}
        self.template: list[Any] = []
        self.numbers: set[str] = set()
        self.refused: list[tuple[Node, str]] = []
        self.reads_data: list[str] = []

    def slot(self, name: str) -> int:
        """The slot of a value, created with its starting value at first mention."""
        if name not in self.slots:
            self.slots[name] = len(self.template)
            self.template.append(self._start(name))
        return self.slots[name]

    def _start(self, name: str) -> Any:
        if name in self.network.known:
            return self.network.known[name]
        if name in self.network.buffers:
            return self.precision.convert(self.network.buffers[name][1])
        return self.precision.convert(self.network.state.get(name))

    def steps(self, block: Block) -> list[Step]:
        steps: list[Step] = []
        for node in block.nodes:
            try:
                steps += self._emit(node)
            except Refusal as refusal:
                self.refused.append((node, refusal.reason))
        return steps

    def tensor_slot(self, name: str, steps: list[Step]) -> int:
        """The slot of a value as a tensor, also where it is a number standing for one."""
        if name not in self.numbers:
            return self.slot(name)
        source, target = self.slot(name), self.slot(f"{name} as tensor")

        def run(frame: Frame) -> None:
            frame[target] = torch.tensor(frame[source])

        steps.append(Step("prim::NumToTensor", name, run, frozenset({source}), (target,), None))
        return target

    def _emit(self, node: Node) -> list[Step]:
        if node in self.aliasing.refused:
            raise Refusal("it changes a tensor that shares memory with one read later")
        handle = _HANDLERS.get(node.operator)
        if handle is not None:
            return handle(self, node)
        return self._call(node)

    def _call(self, node: Node) -> list[Step]:
        call = functional(node, self.network, self.numbers, self.precision)
        if call.reads_data:
            self.reads_data.append(node.label)
        if call.is_number:
            self.numbers.update(node.outputs)
            return [self.step(node, node.inputs, call)]
        steps: list[Step] = []
        sources = [
            self.slot(name) if index not in call.tensors else self.tensor_slot(name, steps)
            for index, name in enumerate(node.inputs[: call.count])
        ]
        if call.draws:
            sources = [self.slot(_DRAWS), *sources]
        steps.append(self._step(node, sources, call.function))
        return [*steps, *(self._write_back(view) for view in self.aliasing.bases.get(id(node), ()))]

    def step(self, node: Node, names: Sequence[str], call: Call) -> Step:
        return self._step(node, [self.slot(name) for name in names], call.function)

    def _step(self, node: Node, sources: Sequence[int], function: Callable[..., Any]) -> Step:
        targets = [self.slot(name) for name in node.outputs]
        refilled = set(targets) & {self.slots[name] for name in node.inputs if name in self.slots}
        made = tuple(slot for slot in targets if slot not in refilled)
        if len(targets) == 1:
            run = _single(function, tuple(sources), targets[0])
        else:
            run = _several(function, tuple(sources), tuple(targets))
        result = targets[0] if len(targets) == 1 else None
        return Step(node.operator, node.label, run, frozenset(sources) | refilled, made, result)

    def _write_back(self, view: Node) -> Step:
        function = WRITE_BACK[view.operator]
        base, *rest = (self.slot(name) for name in view.inputs)
        source = self.slot(view.outputs[0])

        def run(frame: Frame) -> None:
            frame[base] = function(frame[base], frame[source], *(frame[slot] for slot in rest))

        return Step(view.operator, view.label, run, frozenset({base, source, *rest}), (), None)

    # Control flow.

    def branch(self, node: Node) -> list[Step]:
        condition = self.slot(node.inputs[0])
        targets = tuple(self.slot(name) for name in node.outputs)
        (yes, yes_results), (no, no_results) = (self._inner(block) for block in node.blocks)

        def run(frame: Frame) -> None:
            taken, results = (yes, yes_results) if frame[condition] else (no, no_results)
            execute(taken, frame)
            for target, value in zip(targets, [frame[slot] for slot in results], strict=True):
                frame[target] = value

        reads = _outer_reads(yes, yes_results) | _outer_reads(no, no_results) | {condition}
        return [Step(node.operator, node.label, run, frozenset(reads), targets, None)]

    def loop(self, node: Node) -> list[Step]:
        limit, condition, *starts = (self.slot(name) for name in node.inputs)
        (block,) = node.blocks
        index, *carried = (self.slot(name) for name in block.parameters)
        targets = tuple(self.slot(name) for name in node.outputs)
        body, (proceed, *results) = self._inner(block)

        def run(frame: Frame) -> None:
            for target, value in zip(carried, [frame[slot] for slot in starts], strict=True):
                frame[target] = value
            count, going = 0, frame[condition]
            while going and count < frame[limit]:
                frame[index] = count
                execute(body, frame)
                going = frame[proceed]
                for target, value in zip(carried, [frame[slot] for slot in results], strict=True):
                    frame[target] = value
                count += 1
            for target, value in zip(targets, [frame[slot] for slot in carried], strict=True):
                frame[target] = value

        reads = _outer_reads(body, [proceed, *results]) - {index, *carried} | {limit, condition, *starts}
        return [Step(node.operator, node.label, run, frozenset(reads), (*targets, index, *carried), None)]

    def _inner(self, block: Block) -> tuple[tuple[Step, ...], list[int]]:
        steps = self.steps(block)
        results = [
            self.tensor_slot(name, steps) if self.network.kinds.get(name) == "TensorType" else self.slot(name)
            for name in block.returns
        ]
        return with_frees(steps, results), results

    # Containers and what else is no call.

    def make_list(self, node: Node) -> list[Step]:
        return self._gather(node, lambda *items: list(items))

    def make_tuple(self, node: Node) -> list[Step]:
        return self._gather(node, lambda *items: items)

    def make_dictionary(self, node: Node) -> list[Step]:
        return self._gather(node, lambda *items: dict(zip(items[::2], items[1::2], strict=True)))

    def _gather(self, node: Node, function: Callable[..., Any]) -> list[Step]:
        steps: list[Step] = []
        sources = [self.tensor_slot(name, steps) for name in node.inputs]
        return [*steps, self._step(node, sources, function)]

    def unpack(self, node: Node) -> list[Step]:
        return [
            self._step(node, [self.slot(node.inputs[0])], lambda items: items if len(node.outputs) > 1 else items[0])
        ]

    def index(self, node: Node) -> list[Step]:
        return [self._step(node, [self.slot(name) for name in node.inputs], lambda items, index: items[index])]

    def cut(self, node: Node) -> list[Step]:
        low, high = node.attributes["beg"], node.attributes["end"]
        return [self._step(node, [self.slot(node.inputs[0])], lambda items: items[low:high])]

    def number(self, node: Node) -> list[Step]:
        self.numbers.update(node.outputs)
        return [self._step(node, [self.slot(node.inputs[0])], lambda value: value)]

    def is_instance(self, node: Node) -> list[Step]:
        types = node.attributes["types"]
        return [
            self._step(
                node, [self.slot(node.inputs[0])], lambda value: any(is_of_type(value, type_) for type_ in types)
            )
        ]

    def raise_exception(self, node: Node) -> list[Step]:
        def fail(message: Any, *_: Any) -> None:
            raise ModelExecutionError(
                f"The model raised: {message}",
                hint="Check that the probe data is what the model accepts; it runs on all samples at once.",
                context={"operator": node.operator},
            )

        return [self._step(node, [self.slot(name) for name in node.inputs], fail)]

    def get_state(self, node: Node) -> list[Step]:
        return [self._step(node, [self.slot(node.inputs[0])], lambda value: value)]

    def set_state(self, node: Node) -> list[Step]:
        state, source = (self.slot(name) for name in node.inputs)

        def run(frame: Frame) -> None:
            frame[state] = frame[source]

        return [Step(node.operator, node.label, run, frozenset({source}), (), None)]

    def nothing(self, _: Node) -> list[Step]:
        return []


def _outer_reads(steps: Sequence[Step], results: Sequence[int]) -> set[int]:
    made = {slot for step in steps for slot in step.makes}
    return (set().union(*(step.reads for step in steps)) | set(results)) - made


def _single(function: Callable[..., Any], sources: tuple[int, ...], target: int) -> Callable[[Frame], None]:
    # The frequent numbers of arguments are written out, because each is run so often.
    if len(sources) == 1:
        return _of_one(function, *sources, target)
    if len(sources) == 2:
        return _of_two(function, *sources, target)

    def run(frame: Frame) -> None:
        frame[target] = function(*[frame[slot] for slot in sources])

    return run


def _of_one(function: Callable[..., Any], source: int, target: int) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        frame[target] = function(frame[source])

    return run


def _of_two(function: Callable[..., Any], first: int, second: int, target: int) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        frame[target] = function(frame[first], frame[second])

    return run


def _several(
    function: Callable[..., Any], sources: tuple[int, ...], targets: tuple[int, ...]
) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        values = function(*[frame[slot] for slot in sources])
        if targets:
            for target, value in zip(targets, values, strict=True):
                frame[target] = value

    return run


_HANDLERS: Final[Mapping[str, Callable[[_Emitter, Node], list[Step]]]] = {
    "prim::If": _Emitter.branch,
    "prim::Loop": _Emitter.loop,
    "prim::ListConstruct": _Emitter.make_list,
    "prim::TupleConstruct": _Emitter.make_tuple,
    "prim::DictConstruct": _Emitter.make_dictionary,
    "prim::TupleUnpack": _Emitter.unpack,
    "prim::ListUnpack": _Emitter.unpack,
    "prim::TupleIndex": _Emitter.index,
    "prim::TupleSlice": _Emitter.cut,
    "prim::NumToTensor": _Emitter.number,
    "prim::isinstance": _Emitter.is_instance,
    "prim::RaiseException": _Emitter.raise_exception,
    "state::get": _Emitter.get_state,
    "state::set": _Emitter.set_state,
    # Warnings speak to whoever exported the model.
    "aten::warn": _Emitter.nothing,
}
