"""One operator application as a Python call: which function, and how its arguments are prepared."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.loading.torchscript.allowed import DENIED, refusal
from eigengate.loading.torchscript.arguments import settled
from eigengate.loading.torchscript.draws import Draws
from eigengate.loading.torchscript.ir import Network, Node
from eigengate.loading.torchscript.numbers import ARITHMETIC, READING
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.randomness import drawing
from eigengate.loading.torchscript.rewrites import REWRITES
from eigengate.loading.torchscript.scalars import INTROSPECTION, MUTATING, PURE, READS_DATA
from eigengate.loading.torchscript.twins import functional_twin

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
    reads_data: bool = False
    """It turns tensor data into a Python number."""
    count: int | None = None
    """How many of the inputs it takes, if not all; the function holds the rest."""
    draws: bool = False
    """It draws random numbers: in front of the node's inputs the function takes where they come from."""


def functional(node: Node, network: Network, numbers: Collection[str], precision: Precision) -> Call:
    """The pure function of a node.

    Raises:
        Refusal: There is none, or it may not run.
    """
    if node.schema is None:
        raise Refusal(refusal(node.operator) or "it is not supported")
    arguments = node.schema.arguments
    tensors = frozenset(i for i, argument in enumerate(arguments) if "Tensor" in str(argument.type))
    random = drawing(node, network.known)
    if random is not None:
        return Call(_drawing(random, node), tensors & _numeric(node, network, numbers), draws=True)
    on_numbers = _on_numbers(node, network, numbers, tensors)
    if on_numbers is not None:
        return on_numbers
    if not tensors:
        plain = MUTATING.get(node.operator) if node.changes_first_input else PURE.get(node.operator)
        if plain is not None:
            return Call(_giving_back(plain) if node.returns_first_input else plain)
    if node.operator in INTROSPECTION:
        promoted = tensors & _numeric(node, network, numbers)
        return Call(INTROSPECTION[node.operator], promoted, reads_data=node.operator in READS_DATA)
    promoted = tensors & _numeric(node, network, numbers)
    function, count = _tensor_function(node, network.known, precision, bool(tensors))
    return Call(function, promoted, reads_data=node.operator in READS_DATA, count=count)


def _drawing(function: Callable[..., Any], node: Node) -> Callable[..., Any]:
    assert node.schema is not None
    _, *names = [argument.name for argument in node.schema.arguments]

    def call(draws: Draws, first: Any, *rest: Any) -> Any:
        return function(first, draws=draws, **dict(zip(names, rest, strict=True)))

    return call


def _giving_back(change: Callable[..., Any]) -> Callable[..., Any]:
    def call(container: Any, *rest: Any) -> Any:
        change(container, *rest)
        return container

    return call


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
    constants = {
        index: network.buffers[name][1].item()
        for index, name in enumerate(node.inputs)
        if index in tensors and name in network.buffers and network.buffers[name][1].dim() == 0
    }
    if not all(name in numbers or index in constants for index, name in enumerate(node.inputs) if index in tensors):
        return None
    if node.operator in READING:
        return Call(READING[node.operator])
    name = node.operator.removesuffix("_") if node.changes_first_input else node.operator
    function = ARITHMETIC.get(name)
    if function is None or node.schema is None:
        return None
    names = [argument.name for argument in node.schema.arguments]
    positional = sum(not argument.kwarg_only for argument in node.schema.arguments)
    arithmetic = _by_name(function, names, positional, lambda _, value: value)

    def compute(*values: Any) -> Any:
        return arithmetic(*(constants.get(index, value) for index, value in enumerate(values)))

    return Call(compute, is_number=True)


def _by_name(
    function: Callable[..., Any],
    names: Sequence[str],
    positional: int,
    prepare: Callable[[str, Any], Any],
) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        prepared = [prepare(name, value) for name, value in zip(names, values, strict=True)]
        return function(*prepared[:positional], **dict(zip(names[positional:], prepared[positional:], strict=True)))

    return call


def _tensor_function(
    node: Node, known: Mapping[str, Any], precision: Precision, takes_tensors: bool
) -> tuple[Callable[..., Any], int | None]:
    """The function and how many of the node's inputs it takes, if not all."""
    assert node.schema is not None
    name = node.operator.removesuffix("_") if node.changes_first_input else node.operator
    rewrite = _rewrite(node, name)
    names = [argument.name for argument in node.schema.arguments]
    positional = sum(not argument.kwarg_only for argument in node.schema.arguments)
    function, count = rewrite or _overload_of(node, name), None
    if not takes_tensors and "device" in names:
        function = functools.partial(precision.made, function)
    arguments = None if rewrite is not None else settled(node, known, _prepared(precision), _SPECIAL)
    if arguments is not None:
        count = arguments.count
        function = functools.partial(function, **arguments.keywords) if arguments.keywords else function
    elif rewrite is not None:
        function = _by_name(function, names, 1, _prepared(precision))
    elif positional < len(names) or not _SPECIAL.isdisjoint(names):
        function = _by_name(function, names, positional, _prepared(precision))
    return (_keeping_dtype(function) if node.changes_first_input else function), count


def _rewrite(node: Node, name: str) -> Callable[..., Any] | None:
    if node.operator in DENIED:
        return None
    return next((REWRITES[key] for key in (node.overload, node.operator, name) if key in REWRITES), None)


def _overload_of(node: Node, name: str) -> Callable[..., Any]:
    """The dispatcher's entry; for an in-place operator that of its functional twin."""
    assert node.schema is not None
    pure = _WHATEVER_THE_STRIDES.get(node.overload, name)
    own = _find(node.operator, node.schema.overload_name)
    twin = functional_twin(pure, node.schema) if node.changes_first_input else _find(pure, node.schema.overload_name)
    reason = refusal(node.operator, own or twin)
    if reason is not None:
        raise Refusal(reason)
    if twin is None:
        raise Refusal("it is not supported")
    # What calling the overload calls, without a Python frame in between.
    function: Callable[..., Any] = twin._op
    return function


def _find(operator: str, overload: str) -> torch._ops.OpOverload | None:
    namespace, _, name = operator.partition("::")
    packet = getattr(torch.ops.aten, name, None) if namespace == "aten" else None
    return getattr(packet, overload or "default", None)


# Whether a view exists depends on the strides that a kernel gave its result; ours may give it others.
_WHATEVER_THE_STRIDES: Final[Mapping[str, str]] = {
    "aten::view": "aten::reshape",
    "aten::_unsafe_view": "aten::reshape",
    "aten::view_as": "aten::reshape_as",
}
_SPECIAL: Final[frozenset[str]] = frozenset({"dtype", "device", "pin_memory", "memory_format"})
_CONTIGUOUS: Final = 0  # of TorchScript's numbers for the order in memory; 1 is that of the operand


def _prepared(precision: Precision) -> Callable[[str, Any], Any]:
    def prepare(name: str, value: Any) -> Any:
        if name == "dtype":
            return precision.code(value)
        if name == "device":
            return value and precision.device
        if name == "memory_format":
            # No number depends on it, and vmap knows no other.
            return value if value in (None, 1) else _CONTIGUOUS
        return None if name == "pin_memory" else value

    return prepare


def _keeping_dtype(function: Callable[..., Any]) -> Callable[..., Any]:
    """An in-place operator never changes the type of the tensor it writes into."""

    def call(target: Tensor, *rest: Any) -> Any:
        result = function(target, *rest)
        return result if result.dtype == target.dtype else result.to(target.dtype)

    return call
