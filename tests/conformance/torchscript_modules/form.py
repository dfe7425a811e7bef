"""The TorchScript file of a case: traced as its example runs, or compiled from its source."""

import inspect
import linecache
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tests.conformance.torchscript_modules.case import ModuleCase, filled
from tests.support.torch_networks import saved

Form = Literal["traced", "scripted"]
FORMS: tuple[Form, ...] = ("traced", "scripted")


class Bound(nn.Module):
    """A module whose arguments other than tensors are fixed; takes the tensors one by one."""

    def __init__(self, case: ModuleCase) -> None:
        super().__init__()
        self.module = case.module
        self._given = (case.args, case.kwargs)

    def forward(self, *tensors: Tensor) -> Any:
        left = iter(tensors)
        args, kwargs = (filled(given, left) for given in self._given)
        return self.module(*args, **kwargs)


def archive(case: ModuleCase, form: Form) -> bytes | None:
    """The bytes that ``torch.jit.save`` writes, or None where TorchScript cannot express the case."""
    with warnings.catch_warnings():
        # That a trace keeps what it has seen is known, and TorchScript's own deprecation is no news.
        warnings.simplefilter("ignore")
        try:
            module = _traced(case) if form == "traced" else _scripted(case)
        except Exception:
            return None  # torch raises whatever it likes for what it cannot compile
        return saved(module)


def _traced(case: ModuleCase) -> torch.jit.ScriptModule:
    module = case.module if case.kind == "plain" else Bound(case)
    return torch.jit.trace(module, case.operands, check_trace=False)


def _scripted(case: ModuleCase) -> torch.jit.ScriptModule:
    parameters = inspect.signature(case.module.forward).parameters.values()
    required = [parameter for parameter in parameters if parameter.default is parameter.empty]
    # Arguments with a default are no inputs of an audited model, so a model that gives them is written around it.
    direct = case.kind == "plain" and len(required) == len(case.operands)
    return torch.jit.script(case.module if direct else _written_around(case))


def _written_around(case: ModuleCase) -> nn.Module:
    """A module whose source calls the case's with one name for every tensor and literals for the rest."""
    tensors = [f"x{index}" for index in range(len(case.operands))]
    names = iter(tensors)
    given = [_literal(value, names) for value in case.args]
    given += [f"{key}={_literal(value, names)}" for key, value in case.kwargs.items()]
    source = f"def forward(self, {', '.join(tensors)}):\n    return self.module({', '.join(given)})\n"
    # TorchScript compiles from source text, which it looks for where Python's tracebacks do.
    place = f"<{case.name}>"
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    scope: dict[str, Any] = {}
    exec(compile(source, place, "exec"), scope)
    around = type("Around", (nn.Module,), {"forward": scope["forward"]})()
    around.module = case.module
    return around.eval()


def _literal(value: Any, names: Iterator[str]) -> str:
    if isinstance(value, Tensor):
        return next(names)
    if isinstance(value, tuple):
        items = [_literal(item, names) for item in value]
        # CTCLoss takes lengths as tensors where TorchScript compiles it.
        is_lengths = all(isinstance(item, int) for item in value)
        return f"torch.tensor([{', '.join(items)}])" if is_lengths else f"({', '.join(items)},)"
    return repr(value)
