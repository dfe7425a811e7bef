"""The one shape in which every network is measured, whatever file it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, Self, final

import torch
from torch import Tensor

from eigengate.errors import ConfigError, EigengateError, ModelExecutionError, ShapeMismatchError
from eigengate.loading.program import Program, Runtime, TensorSpec

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
class FunctionalModel:
    """A trained network as a pure, batched function of its parameters and inputs.

    ``apply(params, *inputs)`` maps inputs of shape [n, ...] to one output of shape [n, C] and works under
    ``torch.func.vmap / jvp / vjp / grad``. A program exported for batches of one size is run sample by sample, each
    repeated to fill the batch.
    """

    program: Program
    runtime: Runtime
    output: OutputSpec
    format: Literal["torchscript", "onnx"]
    sha256: str
    trainable: tuple[str, ...]
    frozen: Mapping[str, Tensor]

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
        """The output [n, C] for inputs [n, ...]; ``params`` has the keys of ``self.params``."""
        size = self.fixed_batch
        if size is None or inputs[0].shape[0] == size:
            return self._apply(params, *inputs)
        return torch.vmap(lambda *sample: self._apply(params, *(s.expand(size, *s.shape) for s in sample))[0])(*inputs)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size the file was exported for, None if it takes any."""
        shape = self.inputs[0].shape
        return shape[0] if shape else None

    @property
    def one_sample_only(self) -> bool:
        """Whether the file was exported for batches of exactly one sample."""
        return self.fixed_batch == 1

    def _apply(self, params: Params, *inputs: Tensor) -> Tensor:
        try:
            output = self.program({**self.frozen, **params}, *inputs)[self.output.index]
        except EigengateError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelExecutionError(
                f"the model raised on inputs of shape {[tuple(i.shape) for i in inputs]}: {str(error)[:500]}",
                hint="run the model on the probe data in its own framework first",
            ) from error
        if output.ndim == 0 or output.shape[0] != inputs[0].shape[0]:
            raise ShapeMismatchError(
                f"output {self.output.name!r} has shape {tuple(output.shape)} for a batch of {inputs[0].shape[0]}",
                hint="the first dimension of inputs and output must be the batch",
            )
        return output.reshape(output.shape[0], -1)

    def witness(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The same output [n, C] from the file's original runtime, in the dtype the file declares.

        Raises:
            ModelExecutionError: the original runtime cannot run the model on these inputs.
        """
        n = inputs[0].shape[0]
        size = self.fixed_batch or n
        filled = tuple(filled_up(tensor, size) for tensor in inputs)
        batches = zip(*(torch.split(tensor, size) for tensor in filled), strict=True)
        return torch.cat([self.runtime(*batch)[self.output.index].reshape(size, -1) for batch in batches])[:n]

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
