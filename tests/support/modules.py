"""An ``nn.Module`` as a ``FunctionalModel``, without any file: for tests of everything above the lowering."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from eigengate.loading.functional_model import FunctionalModel, OutputSpec
from eigengate.loading.program import Program, Runtime, TensorSpec


@final
@dataclass(frozen=True)
class ModuleProgram(Program):
    """``torch.func.functional_call`` of a module: the truth that lowered programs are compared with."""

    module: nn.Module
    specs: tuple[TensorSpec, ...] = (TensorSpec("x", torch.float32),)
    dtype: torch.dtype = torch.float32

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        return {name: p.detach().to(self.dtype) for name, p in self.module.named_parameters()}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        return {n: b.to(self.dtype) if b.is_floating_point() else b for n, b in self.module.named_buffers()}

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.specs

    outputs = ("y",)
    operators = ("test::module",)
    notes = ()

    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        return (torch.func.functional_call(self.module, {**self.buffers, **params}, inputs),)

    def to(self, *, device=None, dtype=None) -> "ModuleProgram":
        return replace(self, dtype=dtype or self.dtype)

    def without_closing_softmax(self, output: int) -> None:
        return None

    embedding = None

    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "y", self(params, *inputs)[0]


@final
@dataclass(frozen=True)
class FunctionRuntime(Runtime):
    """Any function as the original runtime, so that tests can make it disagree."""

    function: Callable[..., Tensor]

    name = "a plain function"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (self.function(*inputs),)

    def values(self, names: Sequence[str], *inputs: Tensor) -> dict[str, Tensor]:
        return {"y": self(*inputs)[0]}


def functional(module: nn.Module, runtime: Callable[..., Tensor] | None = None) -> FunctionalModel:
    """The module in eval mode as the library would have loaded it."""
    program = ModuleProgram(module.eval())
    return FunctionalModel(
        program=program,
        runtime=FunctionRuntime(runtime or module),
        output=OutputSpec("y", 0),
        format="torchscript",
        sha256="0" * 64,
        trainable=tuple(program.parameters),
        frozen={},
    )
