"""What a lowered network is, and what its original executor is: the two shapes every format provides."""

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, final

import torch
from torch import Tensor

from eigengate.loading.batching import Batching

DimensionNames = Mapping[str, tuple[str | None, ...]]
"""Names of the dimensions of inputs, by input; dimensions of one name have one size."""


@final
@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of one model input; ``None`` stands for a size that may vary, batch first.

    ``is_declared`` is False where the file does not say the dtype, and this one is judged by what becomes of the input.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int | None, ...] | None = None
    is_declared: bool = True


class Program(abc.ABC):
    """A network as a pure function ``(parameters, *inputs) -> outputs``.

    Pure: no state is read but the arguments and the program's own constants, nothing is written. Every value path
    is differentiable to second order where the operators are, and runs under ``torch.func.vmap / jvp / vjp / grad``.
    """

    @property
    @abc.abstractmethod
    def parameters(self) -> Mapping[str, Tensor]:
        """Trainable tensors by name."""

    @property
    @abc.abstractmethod
    def buffers(self) -> Mapping[str, Tensor]:
        """Tensors that are part of the function but not trained, by name: running statistics, frozen constants."""

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the network takes, in calling order."""

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of what the network returns, in order."""

    @property
    @abc.abstractmethod
    def operators(self) -> tuple[str, ...]:
        """Sorted unique operator names, e.g. ``aten::conv2d`` or ``ai.onnx::Conv``."""

    @property
    @abc.abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report must know, e.g. that the parametrisation is a folded one."""

    @abc.abstractmethod
    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Evaluate all outputs with the given parameters (keys as in ``parameters``)."""

    @abc.abstractmethod
    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move constants to a device and floating point work to a dtype, casts inside the graph included."""

    @abc.abstractmethod
    def without_closing_softmax(self, output: int) -> Self | None:
        """The program whose ``output`` is what entered its closing (log-)softmax, or None if there is none."""

    @property
    @abc.abstractmethod
    def embedding(self) -> "Embedding | None":
        """The first trained table in which an integer input is looked up; None if there is none."""

    @abc.abstractmethod
    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Evaluate node by node, yielding ``(value name, value)`` for every floating tensor made, in order."""


@final
@dataclass(frozen=True)
class Embedding:
    """The first embedding of an integer input, as two programs: one in front of it, one that is given its output.

    Args:
        weight: Name of the parameter whose rows are looked up.
        input: Name of the input that says which rows.
        indices: The program of the same inputs whose only output are the numbers of the rows; negative ones count from
            the last row backwards.
        opened: The program with one more input, last: E [..., d] in place of the rows, in their order. In place of the
            looked-up value stands E + (θ[indices] - θ₀[indices]), θ the given and θ₀ the program's own table. At the
            own parameters that is E to the last digit, and the derivatives by E and by the table are both there.
    """

    weight: str
    input: str
    indices: Program
    opened: Program


class Runtime(abc.ABC):
    """The network's original executor: the independent witness of the certificate."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Executor and version, e.g. ``onnxruntime 1.32.0``."""

    @abc.abstractmethod
    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """All outputs for CPU inputs in the dtypes the model declares, including any closing softmax."""

    @abc.abstractmethod
    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        """Intermediate values by the names that ``Program.watch`` yields; a name it cannot give is left out."""


@final
@dataclass(frozen=True)
class Lowered:
    """What loading one file gives.

    Args:
        program: What we differentiate.
        runtime: What vouches for it.
        dimension_names: What the file calls the sizes of its inputs that may vary, where it calls them anything.
        batching: How it has to be run on batches, where the file leaves no choice.
    """

    program: Program
    runtime: Runtime
    dimension_names: DimensionNames = field(default_factory=dict)
    batching: Batching | None = None
