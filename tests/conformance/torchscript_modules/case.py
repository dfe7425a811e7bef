"""One sample of one module class: the module in evaluation mode, and what goes into it."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.testing._internal.common_modules import ModuleInfo, ModuleInput, module_db

# Importing torch's own test library freezes the backends' flags for the whole process; tests beside these set them.
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True

Kind = Literal["plain", "extra"]


@dataclass(frozen=True, eq=False)
class ModuleCase:
    """A module built from a fixed seed and its example, as torch's own module tests have it."""

    info: ModuleInfo
    number: int
    sample: ModuleInput

    @property
    def name(self) -> str:
        return f"{self.info.name}[{self.number}]"

    @cached_property
    def module(self) -> nn.Module:
        """The module in evaluation mode; the global random state stays as it was."""
        given = self.sample.constructor_input
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.info.module_cls(*given.args, **given.kwargs).eval()

    @property
    def args(self) -> tuple[Any, ...]:
        return self.sample.forward_input.args

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.sample.forward_input.kwargs

    @cached_property
    def operands(self) -> tuple[Tensor, ...]:
        """Every tensor that goes in, in calling order, those in tuples too."""
        return tuple(tensors_in((*self.args, *self.kwargs.values())))

    @cached_property
    def eager(self) -> Any:
        """What the module itself answers while gradients are recorded, as they are when it is traced."""
        return self.module(*self.args, **self.kwargs)

    def call(self, operands: Sequence[Tensor]) -> Any:
        """What the module answers for other tensors."""
        left = iter(operands)
        return self.module(*filled(self.args, left), **filled(self.kwargs, left))

    @property
    def kind(self) -> Kind:
        """``plain``: tensors by position go in, one tensor comes out; ``extra``: keywords, tuples and nothing too."""
        positional = not self.kwargs and all(isinstance(value, Tensor) for value in self.args)
        return "plain" if positional and isinstance(self.eager, Tensor) else "extra"


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(tuple(value.values()))


def filled(value: Any, tensors: Iterator[Tensor]) -> Any:
    """A structure of tuples and dictionaries with its tensors replaced, in order."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: filled(item, tensors) for key, item in value.items()}
    return tuple(filled(item, tensors) for item in value) if isinstance(value, tuple) else value


@cache
def module_cases() -> tuple[ModuleCase, ...]:
    """Every sample that the installed torch generates for the CPU in float32 and that its own module accepts."""
    return tuple(case for info in module_db for case in _cases(info) if _runs(case))


def _cases(info: ModuleInfo) -> Iterator[ModuleCase]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        samples = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=False)
        yield from (ModuleCase(info, number, sample) for number, sample in enumerate(list(samples)))


def _runs(case: ModuleCase) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are deprecated, shapes that are frowned upon
        try:
            case.eager  # noqa: B018 - whether it runs is the question
        except RuntimeError:
            return False
    return True
