"""A network from a torch.export archive as a pure function of its parameters and inputs."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Self, final

import torch
from torch import Tensor

from eigengate.loading.batching import Batching
from eigengate.loading.exported.compiler import DROPOUTS, IDENTITIES, Compiled, Tensors, compiled
from eigengate.loading.exported.embedding import OpenedGraph, opened_graph
from eigengate.loading.exported.graph import Graph, Node, Ref
from eigengate.loading.exported.plan import stepwise
from eigengate.loading.exported.remarks import reading_remark, written_remark
from eigengate.loading.exported.sizes import Sizes
from eigengate.loading.program import Embedding, Program, TensorSpec
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.remarks import random_remark, stateful_remark
from eigengate.loading.torchscript.signature import common_type

_SOFTMAXES: Final = frozenset({"aten::softmax", "aten::log_softmax", "aten::_softmax", "aten::_log_softmax"})
_COPIES: Final = IDENTITIES | {"aten::clone"}


@final
@dataclass(frozen=True)
class Source:
    """What a program is compiled from: the graph and the tensors as the file has them.

    Args:
        graph: The graph, with the tensors of the file among its inputs.
        parameters: Trainable tensors by name.
        buffers: Other tensors by name.
        lifted: By the name of a graph's input, the name of the tensor of the file that it is.
        constants: By the name of a graph's input, a value that was fixed on exporting.
        sizes: The inputs that the caller gives.
        outputs: Names of the outputs, and what of the graph they are.
        mutated: Names of tensors whose new values the graph gives back.
        notes: What a reader of the report must know.
        opened: The additional input that takes the place of an embedding's rows, in any size.
    """

    graph: Graph
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    lifted: Mapping[str, str]
    constants: Mapping[str, Any]
    sizes: Sizes
    outputs: tuple[tuple[str, Ref], ...]
    mutated: frozenset[str]
    notes: tuple[str, ...]
    opened: TensorSpec | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the caller gives."""
        return (*self.sizes.specs(), *((self.opened,) if self.opened else ()))

    def require(self, inputs: Sequence[Tensor]) -> None:
        """Refuse inputs of sizes for which the program was not exported.

        Raises:
            ModelExecutionError: Their number is wrong.
            ShapeMismatchError: Their sizes are.
        """
        self.sizes.require(inputs[:-1] if self.opened else inputs)

    def opened_at(self, found: OpenedGraph) -> "Source":
        """The same of the graph that is opened at an embedding."""
        table = self.parameters[self.lifted[found.table]]
        return replace(
            self,
            graph=found.opened,
            constants={**self.constants, found.own: table},
            opened=TensorSpec(found.given, table.dtype),
        )

    def compiled(self, precision: Precision) -> Compiled:
        """The plan of the graph.

        Raises:
            UnsupportedOperatorError: Some nodes have no pure function.
        """
        held = {value: self.buffers[name] for value, name in self.lifted.items() if name in self.buffers}
        tensors = Tensors(
            {value: name for value, name in self.lifted.items() if name in self.parameters}, {**self.constants, **held}
        )
        inputs = [spec.name for spec in self.inputs]
        floating = common_type(self.parameters.values())
        return compiled(self.graph, tensors, inputs, [output for _, output in self.outputs], precision, floating)


@final
class ExportedProgram(Program):
    """A network from a torch.export archive, compiled once for a device and a floating point type."""

    def __init__(self, source: Source, precision: Precision) -> None:
        self._source = source
        self._precision = precision
        self._compiled = source.compiled(precision)
        self._plan = self._compiled.plan
        self._parameters = {name: precision.convert(tensor) for name, tensor in source.parameters.items()}

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        return MappingProxyType(self._parameters)

    @functools.cached_property
    def buffers(self) -> Mapping[str, Tensor]:
        tensors = {name: self._precision.convert(tensor) for name, tensor in self._source.buffers.items()}
        return MappingProxyType(tensors)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._source.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._source.outputs)

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(sorted({step.operator for step in self._plan.steps if step.operator.startswith("aten::")}))

    @property
    def drawing(self) -> tuple[str, ...]:
        """Names of the operators that draw random numbers."""
        return self._compiled.drawing

    @property
    def batching(self) -> Batching | None:
        """How the program has to be run on batches, if there is no choice."""
        return Batching.of_draws(spec.shape for spec in self.inputs) if self.drawing else None

    @property
    def notes(self) -> tuple[str, ...]:
        reads, state = self._compiled.reads_data, tuple(sorted(self._state))
        written = sorted(self._written - self._state)
        return (
            *self._source.notes,
            *([random_remark(self.drawing)] if self.drawing else []),
            *([stateful_remark(state)] if state else []),
            *([written_remark(written)] if written else []),
            *([reading_remark(reads)] if reads else []),
        )

    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        self._source.require(inputs)
        return self._plan.run(params, inputs)

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        precision = Precision(device or self._precision.device, dtype or self._precision.dtype)
        return type(self)(self._source, precision)

    def without_closing_softmax(self, output: int) -> Self | None:
        entered = self._before_softmax(self._source.outputs[output][1])
        if entered is None:
            return None
        outputs = list(self._source.outputs)
        outputs[output] = (outputs[output][0], entered)
        return type(self)(replace(self._source, outputs=tuple(outputs)), self._precision)

    @property
    def embedding(self) -> Embedding | None:
        source = self._source
        integers = frozenset(spec.name for spec in source.inputs if not spec.dtype.is_floating_point)
        trained = {value: name for value, name in source.lifted.items() if name in source.parameters}
        found = opened_graph(source.graph, integers, trained)
        if found is None:
            return None
        indices = replace(source, graph=found.front, outputs=(("indices", Ref(found.indices)),))
        programs = (type(self)(each, self._precision) for each in (indices, source.opened_at(found)))
        return Embedding(trained[found.table], found.input, *programs)

    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        self._source.require(inputs)
        for label, value in stepwise(self._plan.steps, self._plan.frame(params, inputs)):
            if isinstance(value, Tensor) and value.is_floating_point():
                yield label, value

    @property
    def _written(self) -> set[str]:
        lifted = self._source.lifted
        return {lifted[value] for value in self._compiled.written if value in lifted} | self._source.mutated

    @property
    def _state(self) -> set[str]:
        """What the answer depends on and the network updates: every evaluation starts from what the file has."""
        lifted = self._source.lifted
        return {lifted[value] for value in self._compiled.read if value in lifted} & self._written

    def _before_softmax(self, output: Ref) -> Ref | None:
        """What enters the softmax over classes (dimension 1 or the last) that makes an output, if one does."""
        makers = {name: node for node in self._source.graph.nodes for name in node.made()}
        maker = makers.get(output.name)
        while maker is not None and _is_identity(maker) and isinstance(maker.positional[0], Ref):
            maker = makers.get(maker.positional[0].name)
        if maker is None or maker.operator not in _SOFTMAXES or maker.argument("dim") not in (1, -1):
            return None
        entered = maker.positional[0]
        return entered if isinstance(entered, Ref) else None


def _is_identity(node: Node) -> bool:
    return node.operator in _COPIES or (node.operator in DROPOUTS and node.argument("train") is False)
