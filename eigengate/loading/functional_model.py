"""The one shape in which every network is measured, whatever file it came from."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal, Self, final

import torch
from torch import Tensor

from eigengate.errors import ConfigError, EigengateError, ModelError, ModelExecutionError, ShapeMismatchError
from eigengate.loading.batching import Batching, decides_by_value, only_size, samples_of
from eigengate.loading.program import DimensionNames, Program, Runtime, TensorSpec
from eigengate.refused_allocation import let_refused_allocations_through

OutputKind = Literal["logits", "probabilities", "regression"]
Params = Mapping[str, Tensor]


@final
@dataclass(frozen=True)
class OutputSpec:
    """The analysed output: its place among the program's outputs and what its numbers are."""

    name: str
    index: int
    kind: OutputKind = "logits"
    softmax_cut: bool = False


@final
@dataclass(frozen=True)
class Opening:
    """The embedding whose output is given to a model in place of being looked up.

    Args:
        weight: Name of the parameter that is the table.
        input: Name of the input whose numbers are looked up in it.
        shape: Of the output for one sample, e.g. [tokens, size].
    """

    weight: str
    input: str
    shape: tuple[int, ...]

    @property
    def note(self) -> str:
        """What a reader of the report must know."""
        return (
            f"no input is floating point: the differentiable input is the output {list(self.shape)} of the first "
            f"embedding, {self.weight!r}, of input {self.input!r}"
        )


@final
@dataclass(frozen=True)
class FunctionalModel:
    """A trained network as a pure, batched function of its parameters and inputs.

    ``apply(params, *inputs)`` maps inputs of shape [n, ...] to one output of shape [n, C] and works under
    ``torch.func.vmap / jvp / vjp / grad``. A program that runs with batches of one size only, by declaration or by what
    the exporter wrote into it, is run sample by sample, each repeated to fill the batch. A model that is ``opening`` an
    embedding takes that embedding's output [n, ...] behind the inputs that the file's own network takes.
    """

    program: Program
    runtime: Runtime
    output: OutputSpec
    format: Literal["torchscript", "onnx", "pt2"]
    sha256: str
    trainable: tuple[str, ...]
    frozen: Mapping[str, Tensor]
    dimension_names: DimensionNames = field(default_factory=dict)
    batching: Batching | None = None
    opening: Opening | None = None

    @property
    def params(self) -> dict[str, Tensor]:
        """The trainable tensors that derivatives are taken by."""
        return {name: self.program.parameters[name] for name in self.trainable}

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Tensors that are part of the function but not trained."""
        return {**self.program.buffers, **self.frozen}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.program.inputs

    def apply(self, params: Params, *inputs: Tensor) -> Tensor:
        """The output [n, C] for inputs [n, ...]; ``params`` has the keys of ``self.params``.

        Raises:
            ModelExecutionError: the network cannot run on these inputs.
            ShapeMismatchError: its output has not one row per sample.
        """
        size = self.fixed_batch
        if size == inputs[0].shape[0] and (size == 1 or not (self.batching and self.batching.draws)):
            return self._apply(params, *inputs)
        if size is not None:
            return self._one_from_each_batch(params, size, inputs)
        try:
            return self._apply(params, *inputs)
        except (ModelExecutionError, ShapeMismatchError):
            size = None if self.batching else only_size(lambda batch: self._apply(params, *batch), inputs)
            if size is None:
                raise
        return self._one_from_each_batch(params, size, inputs)

    def settled(self, *inputs: Tensor) -> Self:
        """The same function, knowing what a try on these inputs teaches of how it takes batches.

        Without it ``apply`` finds that out whenever it has to.
        """
        if (size := self.fixed_batch) is not None:
            known = self.batching or Batching(size, origin="declared")
            batching = replace(known, by_value=decides_by_value(self._alone(self.params, size), inputs))
        elif (size := only_size(lambda batch: self._apply(self.params, *batch), inputs)) is not None:
            batching = Batching(size, decides_by_value(self._alone(self.params, size), inputs), "written")
        else:
            by_value = decides_by_value(self._alone(self.params, 1), inputs)
            batching = Batching(1 if by_value else None, by_value)
        return replace(self, batching=batching)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that works, by declaration or by ``settled``; None if there is none such."""
        declared = [spec.shape[0] for spec in self.inputs if spec.shape and spec.shape[0] is not None]
        if declared:
            return declared[0]
        return self.batching.size if self.batching else None

    @property
    def one_sample_only(self) -> bool:
        """Whether the file was exported for batches of exactly one sample."""
        return self.fixed_batch == 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report must know about the file and about how it is run."""
        opening = (self.opening.note,) if self.opening else ()
        return (*self.program.notes, *opening, *(self.batching.notes if self.batching else ()))

    def file_inputs(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Those of the inputs that the file's own network takes."""
        return inputs[:-1] if self.opening else inputs

    def _apply(self, params: Params, *inputs: Tensor) -> Tensor:
        try:
            output = self.program({**self.frozen, **params}, *inputs)[self.output.index]
        except EigengateError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            let_refused_allocations_through(error)
            raise ModelExecutionError(
                f"the model raised on inputs of shape {[tuple(i.shape) for i in inputs]}: {str(error)[:500]}",
                hint="run the model on the probe data in its own framework first",
            ) from error
        return self._rows(output, inputs[0].shape[0])

    def _one_from_each_batch(self, params: Params, size: int, inputs: tuple[Tensor, ...]) -> Tensor:
        """Every sample alone, repeated to fill a batch; side by side where the network's operators allow it."""
        one = self._alone(params, size)
        if inputs[0].shape[0] > 1 and not (self.batching and self.batching.by_value):
            with suppress(ModelExecutionError):  # if it is the network that fails, it fails again below
                return torch.vmap(one)(*inputs)
        return torch.stack([one(*sample) for sample in samples_of(inputs)])

    def _alone(self, params: Params, size: int) -> Callable[..., Tensor]:
        """The function of one sample, repeated to fill a batch, to its output [C]."""
        return lambda *sample: self._apply(params, *(tensor.expand(size, *tensor.shape) for tensor in sample))[0]

    def _rows(self, output: object, n: int) -> Tensor:
        """The output as [n, C].

        Raises:
            ModelError: it is no tensor.
            ShapeMismatchError: it has another number of rows.
        """
        if not isinstance(output, Tensor):
            what = "an empty optional" if output is None else f"a {'sequence' if isinstance(output, list) else 'value'}"
            raise ModelError(
                f"output {self.output.name!r} is {what}, no tensor",
                hint=f"choose another output.select among {list(self.program.outputs)}",
            )
        if output.ndim == 0 or output.shape[0] != n:
            raise ShapeMismatchError(
                f"output {self.output.name!r} has shape {tuple(output.shape)} for a batch of {n}",
                hint="the first dimension of inputs and output must be the batch",
            )
        return output.reshape(n, -1)

    def witness(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The same output [n, C] from the file's original runtime, in the dtype the file declares.

        An embedding's output that is given is left out: the runtime looks it up itself.

        Raises:
            ModelExecutionError: the original runtime cannot run the model on these inputs.
            ShapeMismatchError: its output has not one row per sample.
        """
        size, inputs = self.fixed_batch, self.file_inputs(inputs)
        if size is not None:
            return self._witnessed(inputs, size)
        try:
            return self._witnessed(inputs, inputs[0].shape[0])
        except (ModelExecutionError, ShapeMismatchError):
            size = only_size(lambda batch: self._witnessed(batch, batch[0].shape[0]), inputs)
            if size is None:
                raise
        return self._witnessed(inputs, size)

    def _witnessed(self, inputs: tuple[Tensor, ...], size: int) -> Tensor:
        """The runtime's answers to batches of one size, the last one filled up."""
        n = inputs[0].shape[0]
        filled = tuple(filled_up(tensor, size) for tensor in inputs)
        batches = zip(*(torch.split(tensor, size) for tensor in filled), strict=True)
        return torch.cat([self._rows(self.runtime(*batch)[self.output.index], size) for batch in batches])[:n]

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same function on another device or in another floating point type."""
        frozen = {
            name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
            for name, tensor in self.frozen.items()
        }
        return replace(self, program=self.program.to(device=device, dtype=dtype), frozen=frozen)

    def select(self, name_or_index: str | int | None, kind: OutputKind | None, *, cut_softmax: bool) -> Self:
        """Choose the output to analyse; a closing softmax is cut off unless told otherwise.

        Raises:
            ConfigError: there is no such output.
        """
        names = self.program.outputs
        index = names.index(name_or_index) if name_or_index in names else name_or_index or 0
        if not isinstance(index, int) or not 0 <= index < len(names):
            raise ConfigError(f"there is no output {name_or_index!r}", hint=f"the model's outputs are {list(names)}")
        program = self.program.without_closing_softmax(index) if cut_softmax else None
        spec = OutputSpec(names[index], index, kind or "logits", softmax_cut=program is not None)
        return replace(self, program=program or self.program, output=spec)

    def train_only(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> Self:
        """Keep as trainable the parameters that match a glob of ``include`` and none of ``exclude``.

        Raises:
            ConfigError: no parameter is left.
        """
        parameters = self.program.parameters
        kept = tuple(
            name
            for name in parameters
            if any(fnmatchcase(name, glob) for glob in include) and not any(fnmatchcase(name, glob) for glob in exclude)
        )
        if parameters and not kept:
            raise ConfigError(
                f"parameters.include={list(include)} and exclude={list(exclude)} leave no parameter",
                hint=f"the model's parameters are {list(parameters)[:20]}",
            )
        frozen = {name: tensor for name, tensor in parameters.items() if name not in kept}
        return replace(self, trainable=kept, frozen=frozen)


def filled_up(tensor: Tensor, size: int) -> Tensor:
    """The samples [n, ...] with the last one repeated until their number is a multiple of ``size``."""
    missing = -tensor.shape[0] % size
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) if missing else tensor
