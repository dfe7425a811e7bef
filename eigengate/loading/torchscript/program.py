"""A TorchScript network as a pure function of its parameters and inputs."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Self, final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.batching import Batching
from eigengate.loading.program import Embedding, Program, TensorSpec
from eigengate.loading.torchscript.embedding import opened_network
from eigengate.loading.torchscript.emit import emit
from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.plan import Plan, execute, stepwise
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.randomness import drawing_operators
from eigengate.loading.torchscript.remarks import batch_remark, random_remark, reading_remark
from eigengate.loading.torchscript.signature import Output

_SOFTMAXES: Final = frozenset({"aten::softmax", "aten::log_softmax", "aten::_softmax", "aten::_log_softmax"})


@final
@dataclass(frozen=True)
class Source:
    """What a program is compiled from: the lifted graph and the tensors as the file has them."""

    network: Network
    parameters: Mapping[str, Tensor]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]
    changed: tuple[str, ...] = ()
    """What the original module changes in itself when it runs."""
    batch: int | None = None
    """The only batch size that the original module takes, where this program takes any."""


@final
class TorchScriptProgram(Program):
    """A lifted TorchScript network, compiled once for a device and a floating point type."""

    def __init__(self, source: Source, precision: Precision) -> None:
        self._source = source
        self._precision = precision
        self._plan: Plan = emit(source.network, source.outputs, precision)
        self._parameters = {name: precision.convert(tensor) for name, tensor in source.parameters.items()}

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        return MappingProxyType(self._parameters)

    @functools.cached_property
    def buffers(self) -> Mapping[str, Tensor]:
        tensors = {name: self._precision.convert(tensor) for name, tensor in self._source.network.buffers.values()}
        return MappingProxyType(tensors)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._source.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(output.label for output in self._source.outputs)

    @property
    def operators(self) -> tuple[str, ...]:
        names = {node.operator for node in self._source.network.walk()}
        return tuple(sorted(name for name in names if name.startswith("aten::")))

    @property
    def is_stateful(self) -> bool:
        """Whether the original module changes itself when it runs; this function never does."""
        return bool(self._source.changed)

    @functools.cached_property
    def drawing(self) -> tuple[str, ...]:
        """Names of the operators that draw random numbers."""
        return drawing_operators(self._source.network)

    @property
    def batching(self) -> Batching | None:
        """How the program has to be run on batches, if there is no choice."""
        return Batching.of_draws(spec.shape for spec in self.inputs) if self.drawing else None

    @property
    def network(self) -> Network:
        """The lifted graph."""
        return self._source.network

    @property
    def original_batch(self) -> int | None:
        """The only batch size that the original module takes, where this program takes any; else None."""
        return self._source.batch

    @property
    def notes(self) -> tuple[str, ...]:
        batch, reads = batch_remark(self._source.inputs, self._source.batch), self._plan.reads_data
        return (
            *self._source.notes,
            *([random_remark(self.drawing)] if self.drawing else []),
            *([batch] if batch else []),
            *([reading_remark(reads)] if reads else []),
        )

    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        self._check_arity(inputs)
        frame = self._plan.frame(params, inputs)
        execute(self._plan.steps, frame)
        return self._plan.results(frame)

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        precision = Precision(device or self._precision.device, dtype or self._precision.dtype)
        return type(self)(self._source, precision)

    def with_inputs(self, inputs: tuple[TensorSpec, ...]) -> Self:
        """The same program with more known about its inputs."""
        return type(self)(replace(self._source, inputs=inputs), self._precision)

    def rebatched(self, network: Network, batch: int) -> Self:
        """The program of a graph that takes any batch, made of one that takes only ``batch``."""
        return type(self)(replace(self._source, network=network, batch=batch), self._precision)

    def without_closing_softmax(self, output: int) -> Self | None:
        closing = self._closing_softmax(self._source.outputs[output])
        if closing is None:
            return None
        outputs = list(self._source.outputs)
        outputs[output] = replace(outputs[output], name=closing.inputs[0], path=())
        return type(self)(replace(self._source, outputs=tuple(outputs)), self._precision)

    @property
    def embedding(self) -> Embedding | None:
        source = self._source
        values = zip(source.network.body.parameters, source.inputs, strict=True)
        integers = {value: spec.name for value, spec in values if not spec.dtype.is_floating_point}
        found = opened_network(source.network, integers, source.parameters)
        if found is None:
            return None
        indices = replace(source, network=found.front, outputs=(Output("indices", found.indices),))
        table = TensorSpec(found.name, source.parameters[found.weight].dtype)
        opened = replace(source, network=found.opened, inputs=(*source.inputs, table))
        programs = (type(self)(each, self._precision) for each in (indices, opened))
        return Embedding(found.weight, found.input, *programs)

    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        self._check_arity(inputs)
        for label, value in stepwise(self._plan.steps, self._plan.frame(params, inputs)):
            if isinstance(value, Tensor) and value.is_floating_point():
                yield label, value

    def _closing_softmax(self, output: Output) -> Node | None:
        """The softmax over classes (dimension 1 or the last) that makes an output, if one does."""
        network = self._source.network
        makers = [node for node in network.body.nodes if output.name in node.outputs]
        if output.path or not makers or makers[-1].operator not in _SOFTMAXES:
            return None
        over_classes = network.known.get(makers[-1].inputs[1]) in (1, -1)
        return makers[-1] if over_classes else None

    def _check_arity(self, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs) != len(self._source.inputs):
            names = ", ".join(spec.name for spec in self._source.inputs)
            raise ModelExecutionError(
                f"The model takes {len(self._source.inputs)} input(s) ({names}), not {len(inputs)}"
            )
