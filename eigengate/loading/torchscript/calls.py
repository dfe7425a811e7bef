"""One operator application as a Python call: which function, and how its arguments are prepared."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.loading.torchscript.allowed import refusal
from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.numbers import ARITHMETIC, READING
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.rewrites import REWRITES
from eigengate.loading.torchscript.scalars import INTROSPECTION, MUTATING, PURE

_NUMBER_KINDS: Final = frozenset({"IntType", "FloatType", "BoolType", "NumberType"})


@final
class Refusal(Exception):  # noqa: N818 - it never leaves the compiler
    """A node has no pure function here."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@final
@dataclass(frozen=True)
class Call:
    """A function of a node's inputs in order, and which of these must come as tensors."""

    function: Callable[..., Any]
    tensors: frozenset[int] = frozenset()
    is_number: bool = False
    """The result is a number that stands for a zero-dimensional tensor."""


def functional(node: Node, network: Network, numbers: Collection[str], precision: Precision) -> Call:
    """The pure function of a node.

    Raises:
        Refusal: There is none, or it may not run.
    """
    if node.schema is None:
        raise Refusal(refusal(node.operator) or "it is not supported")
    arguments = node.schema.arguments
    tensors = frozenset(i for i, argument in enumerate(arguments) if "Tensor" in str(argument.type))
    on_numbers = _on_numbers(node, network, numbers, tensors)
    if on_numbers is not None:
        return on_numbers
    if not tensors:
        plain = MUTATING.get(node.operator) if node.changes_first_input else PURE.get(node.operator)
        if plain is not None:
            return Call(plain)
    if node.operator in INTROSPECTION:
        return Call(INTROSPECTION[node.operator], tensors & _numeric(node, network, numbers))
    return Call(_tensor_function(node, precision, bool(tensors)), tensors & _numeric(node, network, numbers))


def _numeric(node: Node, network: Network, numbers: Collection[str]) -> frozenset[int]:
    return frozenset(
        index
        for index, name in enumerate(node.inputs)
        if name in numbers or (network.kinds.get(name) in _NUMBER_KINDS and name not in network.buffers)
    )


def _on_numbers(node: Node, network: Network, numbers: Collection[str], tensors: frozenset[int]) -> Call | None:
    operands = [name for index, name in enumerate(node.inputs) if index in tensors]
    if not any(name in numbers for name in operands):
        return None
    constants = [name for name in operands if name in network.buffers and network.buffers[name][1].dim() == 0]
    if not all(name in numbers or name in constants for name in operands):
        return None
    if node.operator in READING:
        return Call(READING[node.operator])
    name = node.operator.removesuffix("_") if node.changes_first_input else node.operator
    function = ARITHMETIC.get(name)
    if function is None or node.schema is None:
        return None
    return Call(_by_name(lambda *a, **k: function(*a, **k), node.schema.arguments, _plain_number), is_number=True)


def _plain_number(_: str, value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _by_name(
    function: Callable[..., Any],
    arguments: Sequence[torch._C.Argument],
    prepare: Callable[[str, Any], Any],
) -> Callable[..., Any]:
    """Call ``function`` as a schema says: keyword-only arguments by keyword, the rest by position."""
    names = [argument.name for argument in arguments]
    positional = sum(not argument.kwarg_only for argument in arguments)

    def call(*values: Any) -> Any:
        prepared = [prepare(name, value) for name, value in zip(names, values, strict=True)]
        return function(*prepared[:positional], **dict(zip(names[positional:], prepared[positional:], strict=True)))

    return call


def _tensor_function(node: Node, precision: Precision, takes_tensors: bool) -> Callable[..., Any]:
    schema = node.schema
    assert schema is not None
    changes = node.changes_first_input
    name = node.operator.removesuffix("_") if changes else node.operator
    overload = _overload(name, schema.overload_name)
    reason = refusal(node.operator, _overload(node.operator, schema.overload_name) or overload)
    if reason is not None:
        raise Refusal(reason)
    function: Callable[..., Any] | None
    names = [argument.name for argument in schema.arguments]
    special = {n for n in names if n in _SPECIAL}
    rewrite = REWRITES.get(node.operator) or REWRITES.get(name)
    if rewrite is not None:
        function = _keywords(rewrite, names, precision)
    elif overload is None:
        raise Refusal("it is not supported")
    elif not takes_tensors and "device" in special:
        function = _factory(overload, schema.arguments, precision)
    else:
        function = _dispatch(overload, schema.arguments, precision, bool(special))
    return _keeping_dtype(function) if changes else function


def _overload(operator: str, overload: str) -> torch._ops.OpOverload | None:
    packet = getattr(torch.ops.aten, operator.removeprefix("aten::"), None) if operator.startswith("aten::") else None
    return getattr(packet, overload or "default", None) if packet is not None else None


_SPECIAL: Final = frozenset({"dtype", "device", "pin_memory"})


def _prepared(precision: Precision) -> Callable[[str, Any], Any]:
    def prepare(name: str, value: Any) -> Any:
        if name == "dtype":
            return precision.code(value)
        if name == "device":
            return value and precision.device
        return None if name == "pin_memory" else value

    return prepare


def _dispatch(
    overload: Callable[..., Any], arguments: Sequence[torch._C.Argument], precision: Precision, special: bool
) -> Callable[..., Any]:
    if special or any(argument.kwarg_only for argument in arguments):
        return _by_name(overload, arguments, _prepared(precision))
    return overload


def _factory(
    overload: Callable[..., Any], arguments: Sequence[torch._C.Argument], precision: Precision
) -> Callable[..., Any]:
    def make(*values: Any, **keywords: Any) -> Tensor:
        return precision.made(overload, *values, **keywords)

    return _by_name(make, arguments, _prepared(precision))


def _keywords(rewrite: Callable[..., Any], names: Sequence[str], precision: Precision) -> Callable[..., Any]:
    prepare = _prepared(precision)

    def call(*values: Any) -> Any:
        return rewrite(**{name: prepare(name, value) for name, value in zip(names, values, strict=True)})

    return call


def _keeping_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    """An in-place operator never changes the type of the tensor it writes into."""

    def call(target: Tensor, *rest: Any) -> Any:
        result = function(target, *rest)
        return result if result.dtype == target.dtype else result.to(target.dtype)

    return call
