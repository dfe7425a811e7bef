"""Which function computes which operator: ``@operator`` marks it, its signature says how the node is bound to it.

Positional parameters are the node's inputs in order, keyword-only parameters its attributes by name:

- an input annotated ``Tensor`` is handed over as it is; ``Ints``, ``Floats``, ``int``, ``float`` or ``bool`` says that
  it decides shapes or control flow, so that its numbers are read out (on the host, outside any transform);
- an attribute annotated ``torch.dtype`` arrives in the working float type, a ``Body`` as a callable;
- the keyword ``outputs`` is no attribute: it receives how many outputs the node has.

The decorator also declares what can be differentiated; the conformance suite holds every declaration against the
standard's own cases, and the page of operators is written from it.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from types import MappingProxyType, ModuleType
from typing import Any, final

from torch import Tensor

from eigengate.loading.onnx.graph import Node

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Tensors = tuple[Tensor, ...]
TensorList = list[Tensor]
"""A sequence of the standard; no function changes one."""
Body = Callable[..., Tensors]
Result = Tensor | TensorList | None | tuple[Tensor | TensorList | None, ...]
"""What a function gives: one value, or a tuple of them; the value of an empty optional is None."""

# The newest opset whose operators the functions in ops/ were checked against. Up to it, a node falls through to the
# newest function not above its own version; an operator that changed later is unsupported until someone looks.
CHECKED_OPSET = 28


class Smoothness(StrEnum):
    """What derivatives by its floating operands an operator has, in reverse and in forward mode."""

    TWICE = "twice"
    """First and second order, almost everywhere."""
    FLAT = "flat"
    """Piecewise constant: the derivative is zero wherever there is one."""
    NONE = "none"
    """No real numbers come out, or none go in: comparisons, indices, shapes, bits."""


@final
@dataclass(frozen=True)
class Operator:
    """A function over torch that computes one ONNX operator from version ``since`` on.

    Args:
        domain: Of the operator; the standard's is empty.
        name: Of the operator.
        since: The first version of the domain that the function is right for.
        function: What computes it.
        smoothness: Which derivatives it has.
        batches: Whether ``vmap`` can batch it over its floating operands; not where their values decide a shape.
    """

    domain: str
    name: str
    since: int
    function: Callable[..., Result]
    smoothness: Smoothness = Smoothness.TWICE
    batches: bool = True

    def __call__(self, *args: Any, **attributes: Any) -> Any:
        return self.function(*args, **attributes)

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def inputs(self) -> tuple[inspect.Parameter, ...]:
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return tuple(p for p in self.signature.parameters.values() if p.kind in kinds)

    @cached_property
    def attributes(self) -> Mapping[str, inspect.Parameter]:
        keyword = inspect.Parameter.KEYWORD_ONLY
        return {p.name: p for p in self.signature.parameters.values() if p.kind is keyword and p.name != "outputs"}

    def objection(self, node: Node) -> str | None:
        """Why this function cannot compute the node, or None."""
        if unknown := sorted(set(node.attributes) - set(self.attributes)):
            return f"attribute {', '.join(unknown)} is not supported"
        missing = [p.name for p in self.attributes.values() if p.default is p.empty and p.name not in node.attributes]
        if missing:
            return f"attribute {', '.join(missing)} is missing"
        required = [p for p in self.inputs if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
        if "" in node.inputs[: len(required)] or len(node.inputs) < len(required):
            return f"{len(required)} inputs are needed"
        variadic = any(p.kind is p.VAR_POSITIONAL for p in self.inputs)
        if len(node.inputs) > len(self.inputs) and not variadic:
            return f"{len(node.inputs)} inputs, where {len(self.inputs)} are known"
        return None


def operator(
    name: str,
    since: int = 1,
    domain: str = "",
    *,
    smoothness: Smoothness = Smoothness.TWICE,
    batches: bool = True,
) -> Callable[[Callable[..., Result]], Operator]:
    """Declare that the decorated function computes operator ``name`` from version ``since`` of its domain on."""
    return lambda function: Operator(domain, name, since, function, smoothness, batches)


def find_operator(node: Node) -> Operator | None:
    """The newest function not above the node's version, unless the operator has changed since it was checked."""
    versions = _operators().get((node.domain, node.operator), ())
    if node.domain == "" and node.version > CHECKED_OPSET and _changed_after_check(node):
        return next((op for op in versions if CHECKED_OPSET < op.since <= node.version), None)
    return next((op for op in versions if op.since <= node.version), None)


def registered_operators() -> Iterator[Operator]:
    """Every function, operator by operator, the newest version first."""
    for _, versions in sorted(_operators().items()):
        yield from versions


@cache
def _operators() -> Mapping[tuple[str, str], tuple[Operator, ...]]:
    from eigengate.loading.onnx import ops

    found: dict[tuple[str, str], dict[int, Operator]] = {}
    for info in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
        for op in _declared_in(importlib.import_module(info.name)):
            versions = found.setdefault((op.domain, op.name), {})
            if versions.setdefault(op.since, op) is not op:
                raise TypeError(f"{op.name} since {op.since} is declared twice")
    newest_first = {key: tuple(versions[v] for v in sorted(versions, reverse=True)) for key, versions in found.items()}
    return MappingProxyType(newest_first)


def _declared_in(module: ModuleType) -> list[Operator]:
    declared: dict[int, Operator] = {}
    for value in vars(module).values():
        members = value if isinstance(value, tuple) else (value,)
        declared.update(
            {id(op): op for op in members if isinstance(op, Operator) and op.function.__module__ == module.__name__}
        )
    return list(declared.values())


def _changed_after_check(node: Node) -> bool:
    import onnx

    try:
        return bool(onnx.defs.get_schema(node.operator, node.version, node.domain).since_version > CHECKED_OPSET)
    except onnx.defs.SchemaError:
        return True
