"""An ONNX network as a pure function of its parameters and inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Self, final

import onnx
import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.onnx.block import Block
from eigengate.loading.onnx.closing import without_closing_softmax
from eigengate.loading.onnx.embedding import opened_graph
from eigengate.loading.onnx.folding import folding_notes
from eigengate.loading.onnx.fusion import fuse
from eigengate.loading.onnx.graph import Graph
from eigengate.loading.onnx.placement import Placement
from eigengate.loading.onnx.reader import read_graph
from eigengate.loading.onnx.refusals import refuse_unsupported_nodes
from eigengate.loading.onnx.roles import Role, parameter_roles, role_notes
from eigengate.loading.onnx.ties import untie
from eigengate.loading.program import Embedding, Program, TensorSpec


@final
class OnnxProgram(Program):
    """A ``ModelProto`` lowered to torch: ``program(program.parameters, *inputs)`` gives the outputs as a tuple.

    Args:
        model: The network; it is read, never changed.

    Raises:
        ModelLoadError: the model is inconsistent.
        UnsupportedOperatorError: some nodes have no function; all of them are listed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        declared = read_graph(model)
        refuse_unsupported_nodes(declared)
        graph = untie(declared)
        notes = (*graph.notes, *folding_notes(model), *role_notes(graph))
        self._build(replace(graph, notes=notes), parameter_roles(graph), Placement())

    def _build(self, graph: Graph, roles: Mapping[str, Role], placement: Placement) -> None:
        self._graph, self._roles, self._placement = graph, roles, placement
        trained = [name for name, role in roles.items() if role is not Role.BUFFER]
        self._parameters = {name: placement.place(graph.constants[name]) for name in trained}
        fed = [spec.name for spec in graph.inputs]
        constants = {name: value for name, value in graph.constants.items() if name not in self._parameters}
        self._block = Block(fuse(graph, trained), placement, arguments=[*trained, *fed], constants=constants)

    @property
    def graph(self) -> Graph:
        """The network as nodes over named values."""
        return self._graph

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        return self._parameters

    @cached_property
    def buffers(self) -> Mapping[str, Tensor]:
        return {
            name: self._placement.place(value)
            for name, value in self._graph.constants.items()
            if name not in self._parameters
        }

    @property
    def roles(self) -> Mapping[str, Role]:
        """What each floating constant is taken for."""
        return self._roles

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(replace(spec, dtype=self._placement.dtype(spec.dtype)) for spec in self._graph.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._graph.outputs

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(sorted({node.qualified for node in self._graph.walk()}))

    @property
    def notes(self) -> tuple[str, ...]:
        return self._graph.notes

    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._block(*self._arguments(params, inputs))

    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        for name, value in self._block.watch(*self._arguments(params, inputs)):
            if isinstance(value, Tensor) and value.is_floating_point():
                yield name, value

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        placement = Placement(device or self._placement.device, dtype or self._placement.floating)
        return self._rebuilt(self._graph, placement)

    def without_closing_softmax(self, output: int) -> Self | None:
        graph = without_closing_softmax(self._graph, output)
        return None if graph is None else self._rebuilt(graph, self._placement)

    @property
    def embedding(self) -> Embedding | None:
        found = opened_graph(self._graph, self._parameters)
        if found is None:
            return None
        indices, opened = (self._rebuilt(graph, self._placement) for graph in (found.indices, found.opened))
        return Embedding(found.weight, found.input, indices, opened)

    def _arguments(self, params: Mapping[str, Tensor], inputs: tuple[Tensor, ...]) -> list[Tensor]:
        if len(inputs) != len(self._graph.inputs):
            names = ", ".join(spec.name for spec in self._graph.inputs)
            raise ModelExecutionError(
                f"the model takes {len(self._graph.inputs)} inputs ({names}), {len(inputs)} given"
            )
        try:
            return [*(params[name] for name in self._parameters), *inputs]
        except KeyError as error:
            raise ModelExecutionError(f"no value is given for parameter {error}") from error

    def _rebuilt(self, graph: Graph, placement: Placement) -> Self:
        program = object.__new__(type(self))
        program._build(graph, self._roles, placement)
        return program
