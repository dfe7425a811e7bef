"""One operator application as a Python call: which function, and how its arguments are prepared."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from torch import Tensor

from eigengate.loading.exported.decomposed import DECOMPOSED
from eigengate.loading.exported.graph import ATEN, Node, Ref
from eigengate.loading.exported.refusals import Refusal
from eigengate.loading.torchscript.allowed import DENIED, refusal
from eigengate.loading.torchscript.precision import Precision
from eigengate.loading.torchscript.randomness import is_quiet
from eigengate.loading.torchscript.rewrites import REWRITES
from eigengate.loading.torchscript.rewrites.random import DRAWING
from eigengate.loading.torchscript.scalars import DTYPE_CODES, DTYPES
from eigengate.loading.torchscript.twins import functional_twin
from eigengate.loading.torchscript.views import RESHAPING

DRAWS: Final = Ref("random numbers")
"""Where random numbers come from; no value of a graph has this name."""

_LEFT_OUT: Final = frozenset({"pin_memory", "layout"})


@final
@dataclass(frozen=True)
class Call:
    """A function and its arguments, in which ``Ref`` stands for values that are made elsewhere."""

    function: Callable[..., Any]
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Operator:
    """An operator of PyTorch's dispatcher."""

    overload: torch._ops.OpOverload

    @property
    def name(self) -> str:
        """Qualified name without overload."""
        return str(self.overload._schema.name)

    @property
    def changes_first_argument(self) -> bool:
        """Whether it writes into the memory of its first argument."""
        arguments = self.overload._schema.arguments
        return bool(arguments) and _is_written(arguments[0])

    @property
    def reshapes_first_argument(self) -> bool:
        """Whether it gives its first argument another shape, which is another thing than other numbers."""
        return self.name in RESHAPING

    @property
    def viewed(self) -> str | None:
        """The argument whose memory its result shows, if there is one."""
        schema = self.overload._schema
        shown = [result.alias_info for result in schema.returns]
        if not shown or shown[0] is None or shown[0].is_write:
            return None
        return next((a.name for a in schema.arguments if a.alias_info is not None and not a.alias_info.is_write), None)

    @property
    def gives_list(self) -> bool:
        """Whether its result is a list of tensors."""
        returns = self.overload._schema.returns
        return len(returns) == 1 and _is_list(returns[0])

    def gives(self, outputs: tuple[Any, ...]) -> bool:
        """Whether it has these outputs: names, tuples of names for lists, None for tensors that are absent."""
        returns = self.overload._schema.returns
        return len(outputs) == len(returns) and all(
            isinstance(output, tuple) == _is_list(result) for output, result in zip(outputs, returns, strict=True)
        )


def _is_list(argument: torch._C.Argument) -> bool:
    return str(argument.type) == "List[Tensor]"


def _is_written(argument: torch._C.Argument) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def operator_of(node: Node) -> Operator:
    """The dispatcher's entry for a node.

    Raises:
        Refusal: There is none, or it may not run.
    """
    if not node.target.startswith(ATEN):
        raise Refusal(_foreign(node))
    overload = _find(node.target.removeprefix(ATEN))
    reason = refusal(node.operator, overload)
    replaced = _replacement(node.target) or drawing(node)
    if reason is not None and not (replaced and node.operator not in DENIED):
        raise Refusal(reason)
    if overload is None:
        raise Refusal("it is not supported")
    if any(_is_written(argument) for argument in overload._schema.arguments[1:]):
        raise Refusal("operators that write into an argument are not supported")
    operator = Operator(overload)
    if not operator.gives(node.outputs):
        raise Refusal("its outputs are not those of its schema")
    return operator


def _foreign(node: Node) -> str:
    namespace = node.operator.partition("::")[0]
    if namespace == "higher_order":
        return "higher-order operators are not supported, torch.cond apart"
    if node.target.startswith("torch.ops."):
        return refusal(node.operator) or "it is not supported"
    return "only operators of torch.ops.aten are supported"


def _find(dotted: str) -> torch._ops.OpOverload | None:
    name, _, overload = dotted.partition(".")
    packet = getattr(torch.ops.aten, name, None) if overload else None
    found = getattr(packet, overload, None) if packet is not None else None
    return found if isinstance(found, torch._ops.OpOverload) else None


def _replacement(target: str) -> Callable[..., Any] | None:
    """Our own function for an operator whose kernel lacks derivatives, if there is one."""
    name, _, overload = target.removeprefix(ATEN).partition(".")
    keys = (f"aten::{name}.{overload}", f"aten::{name}", f"aten::{name.removesuffix('_')}")
    return next((table[key] for key in keys for table in (DECOMPOSED, REWRITES) if key in table), None)


def drawing(node: Node) -> Callable[..., Any] | None:
    """The function of a node that draws random numbers; None of every other node."""
    name, _, overload = node.target.removeprefix(ATEN).partition(".")
    key = f"aten::{name}" if overload == "default" else f"aten::{name}.{overload}"
    function = DRAWING.get(key)
    if function is None:
        return None
    found = _find(node.target.removeprefix(ATEN))
    return None if is_quiet(node.operator, {**_defaults(found), **dict(node.arguments)}) else function


def _defaults(overload: torch._ops.OpOverload | None) -> dict[str, Any]:
    """What an operator's arguments are that a call leaves out."""
    arguments = () if overload is None else overload._schema.arguments
    return {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}


def call_of(node: Node, operator: Operator, precision: Precision) -> Call:
    """The pure function of a node with its arguments; an operator that works in place runs as its functional twin.

    Raises:
        Refusal: There is no such twin, or the arguments do not fit the operator.
    """
    schema = operator.overload._schema
    given = dict(node.arguments)
    strangers = given.keys() - {argument.name for argument in schema.arguments}
    missing = [a.name for a in schema.arguments if a.name not in given and not a.has_default_value()]
    if strangers or missing or len(given) != len(node.arguments):
        raise Refusal(f"its arguments {list(given)} are not those of its schema")
    replacement, random = _replacement(node.target), drawing(node)
    if random is not None:
        call = _call_of_drawing(random, operator, given)
    elif replacement is not None:
        call = _call_of_replacement(replacement, operator, given, precision)
    else:
        call = _call_of_overload(operator, given, precision)
    return _keeping_dtype(call) if operator.changes_first_argument else call


def _call_of_replacement(
    function: Callable[..., Any], operator: Operator, given: Mapping[str, Any], precision: Precision
) -> Call:
    arguments = operator.overload._schema.arguments
    values = {a.name: _prepared(a.name, given.get(a.name, a.default_value), precision) for a in arguments}
    # They know types by TorchScript's numbers.
    coded = {name: DTYPE_CODES[value] if isinstance(value, torch.dtype) else value for name, value in values.items()}
    first, *rest = coded
    return Call(function, (coded[first],), {name: coded[name] for name in rest if name not in _LEFT_OUT})


def _call_of_drawing(function: Callable[..., Any], operator: Operator, given: Mapping[str, Any]) -> Call:
    """With types as the file has them: numbers are drawn in those and converted."""
    values = {a.name: given.get(a.name, a.default_value) for a in operator.overload._schema.arguments}
    coded = {name: DTYPE_CODES[value] if isinstance(value, torch.dtype) else value for name, value in values.items()}
    first, *rest = coded
    kept = {name: coded[name] for name in rest if name not in _LEFT_OUT}
    return Call(function, (coded[first],), {**kept, "draws": DRAWS})


def _call_of_overload(operator: Operator, given: Mapping[str, Any], precision: Precision) -> Call:
    arguments = operator.overload._schema.arguments
    positional, keywords = [], {}
    last = max((i for i, a in enumerate(arguments) if a.name in given and not a.kwarg_only), default=-1)
    for index, argument in enumerate(arguments):
        value = _prepared(argument.name, given.get(argument.name, argument.default_value), precision)
        if not argument.kwarg_only and index <= last:
            positional.append(value)
        elif argument.name in given and argument.name not in _LEFT_OUT:
            keywords[argument.name] = value
    # What calling the overload calls, without a Python frame in between.
    function: Callable[..., Any] = _functional(operator)._op
    if "device" in {a.name for a in arguments} and not any("Tensor" in str(a.type) for a in arguments):
        function = functools.partial(precision.made, function)
    return Call(function, tuple(positional), keywords)


def _functional(operator: Operator) -> torch._ops.OpOverload:
    if not operator.changes_first_argument:
        return operator.overload
    twin = functional_twin(operator.name.removesuffix("_"), operator.overload._schema)
    if twin is None or not operator.name.endswith("_"):
        raise Refusal("it has no functional form")
    return twin


def _prepared(name: str, value: Any, precision: Precision) -> Any:
    if name in _LEFT_OUT:
        return None
    if isinstance(value, torch.dtype):
        code = precision.code(DTYPE_CODES[value])
        return value if code is None else DTYPES[code]
    if isinstance(value, torch.device):
        return precision.device
    if isinstance(value, torch.memory_format) and value != torch.preserve_format:
        # No number depends on the order in memory, and vmap knows no other.
        return torch.contiguous_format
    return value


def _keeping_dtype(call: Call) -> Call:
    """An operator that works in place never changes the type of the tensor it writes into."""
    function = call.function

    def run(target: Tensor, *rest: Any, **keywords: Any) -> Any:
        result = function(target, *rest, **keywords)
        return result if result.dtype == target.dtype else result.to(target.dtype)

    return Call(run, call.positional, call.keywords)
