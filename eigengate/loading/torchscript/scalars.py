"""TorchScript's operators on numbers, lists and dictionaries, and those that ask a tensor about itself."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from eigengate.errors import ModelExecutionError
from eigengate.loading.torchscript.text import TEXT

DTYPE_CODES: Final[Mapping[torch.dtype, int]] = {
    torch.uint8: 0,
    torch.int8: 1,
    torch.int16: 2,
    torch.int32: 3,
    torch.int64: 4,
    torch.float16: 5,
    torch.float32: 6,
    torch.float64: 7,
    torch.complex32: 8,
    torch.complex64: 9,
    torch.complex128: 10,
    torch.bool: 11,
    torch.bfloat16: 15,
}
"""TorchScript writes dtypes as the integers of c10::ScalarType."""

DTYPES: Final[Mapping[int, torch.dtype]] = {code: dtype for dtype, code in DTYPE_CODES.items()}


def _slice(items: Any, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return items[start:end:step]


def _log(value: float, base: float | None = None) -> float:
    return math.log(value) if base is None else math.log(value, base)


def _range_length(low: int, high: int, step: int) -> int:
    return len(range(low, high, step))


def _format(template: str, *values: Any) -> str:
    return template.format(*values)


def _percent_format(template: str, *values: Any) -> str:
    return template % values


def _unwrap_optional(value: Any) -> Any:
    if value is None:
        raise ModelExecutionError("The model unwraps an optional value that is None")
    return value


def _constant(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def _promoted(one: int, other: int) -> int:
    return DTYPE_CODES[torch.promote_types(DTYPES[one], DTYPES[other])]


PURE: Final[Mapping[str, Callable[..., Any]]] = {
    **TEXT,
    "aten::add": operator.add,
    "aten::sub": operator.sub,
    "aten::mul": operator.mul,
    "aten::div": operator.truediv,
    "aten::floordiv": operator.floordiv,
    "aten::__round_to_zero_floordiv": lambda a, b: int(a / b),
    "aten::remainder": operator.mod,
    "aten::mathremainder": math.remainder,
    "aten::fmod": math.fmod,
    "aten::divmod": divmod,
    "aten::pow": operator.pow,
    "aten::neg": operator.neg,
    "aten::abs": abs,
    "aten::floor": math.floor,
    "aten::ceil": math.ceil,
    "aten::round": round,
    "aten::sqrt": math.sqrt,
    "aten::exp": math.exp,
    "aten::expm1": math.expm1,
    "aten::log": _log,
    "aten::log10": math.log10,
    "aten::log1p": math.log1p,
    "aten::sin": math.sin,
    "aten::cos": math.cos,
    "aten::tan": math.tan,
    "aten::atan": math.atan,
    "aten::atan2": math.atan2,
    "aten::tanh": math.tanh,
    "aten::erf": math.erf,
    "aten::erfc": math.erfc,
    "aten::gamma": math.gamma,
    "aten::lgamma": math.lgamma,
    "aten::acos": math.acos,
    "aten::asin": math.asin,
    "aten::cosh": math.cosh,
    "aten::sinh": math.sinh,
    "aten::acosh": math.acosh,
    "aten::asinh": math.asinh,
    "aten::atanh": math.atanh,
    "aten::degrees": math.degrees,
    "aten::radians": math.radians,
    "aten::copysign": math.copysign,
    "aten::fabs": math.fabs,
    "aten::frexp": math.frexp,
    "aten::ldexp": math.ldexp,
    "aten::modf": math.modf,
    "aten::factorial": math.factorial,
    "aten::Complex": complex,
    "aten::Size": list,
    "aten::broadcast_shapes": lambda *shapes: list(torch.broadcast_shapes(*shapes)),  # type: ignore[no-untyped-call]
    "aten::promote_types": _promoted,
    "aten::gcd": math.gcd,
    "aten::isnan": math.isnan,
    "aten::isinf": math.isinf,
    "aten::isfinite": math.isfinite,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::__and__": operator.and_,
    "aten::__or__": operator.or_,
    "aten::__xor__": operator.xor,
    "aten::__lshift__": operator.lshift,
    "aten::__rshift__": operator.rshift,
    "aten::__not__": operator.not_,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__contains__": operator.contains,
    "aten::__getitem__": operator.getitem,
    "aten::__range_length": _range_length,
    "aten::__derive_index": lambda index, start, step: start + index * step,
    "aten::_unwrap_optional": _unwrap_optional,
    "aten::Int": int,
    "aten::Float": float,
    "aten::Bool": bool,
    "aten::str": str,
    "aten::len": len,
    "aten::list": list,
    "aten::dict": dict,
    "aten::copy": lambda container: container.copy(),
    "aten::keys": lambda mapping: list(mapping.keys()),
    "aten::values": lambda mapping: list(mapping.values()),
    "aten::items": lambda mapping: list(mapping.items()),
    "aten::get": lambda mapping, key, default=None: mapping.get(key, default),
    "aten::slice": _slice,
    "aten::select": operator.getitem,
    "aten::sorted": sorted,
    "aten::sum": sum,
    "aten::any": any,
    "aten::all": all,
    "aten::format": _format,
    "aten::percentFormat": _percent_format,
    "aten::device": torch.device,
    "prim::type": lambda device: device.type,
    "prim::EnumName": lambda member: member.name,
    "prim::EnumValue": lambda member: member.value,
    "prim::index": lambda device: device.index,
    "prim::min": lambda *values: min(*values),
    "prim::max": lambda *values: max(*values),
    "prim::abs": abs,
    "prim::rangelist": lambda count: list(range(count)),
    "prim::unchecked_unwrap_optional": _unwrap_optional,
    # The differentiable branches of a model are the ones that run while gradients are recorded.
    "aten::is_grad_enabled": _constant(True),
    "aten::is_autocast_enabled": _constant(False),
    "aten::is_autocast_cpu_enabled": _constant(False),
    "aten::is_scripting": _constant(True),
    "aten::has_torch_function": _constant(False),
}


MUTATING: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::append": lambda items, value: items.append(value),
    "aten::extend": lambda items, other: items.extend(other),
    "aten::insert": lambda items, index, value: items.insert(index, value),
    "aten::popitem": lambda mapping: mapping.popitem(),
    "aten::pop": lambda items, *rest: items.pop(*rest),
    "aten::remove": lambda items, value: items.remove(value),
    "aten::clear": lambda items: items.clear(),
    "aten::reverse": lambda items: items.reverse(),
    "aten::sort": lambda items, reverse=False: items.sort(reverse=reverse),
    "aten::add_": operator.iadd,
    "aten::mul_": operator.imul,
    "aten::_set_item": operator.setitem,
    "aten::Delete": operator.delitem,
    "aten::update": lambda mapping, other: mapping.update(other),
    "aten::setdefault": lambda mapping, key, value: mapping.setdefault(key, value),
}
"""Operators that change a list or a dictionary, which is always one call's own."""


def _size(tensor: Tensor, dim: int | None = None) -> Any:
    return list(tensor.shape) if dim is None else tensor.shape[dim]


INTROSPECTION: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::size": _size,
    "aten::dim": Tensor.dim,
    "aten::ndimension": Tensor.dim,
    "aten::numel": Tensor.numel,
    "aten::len": len,
    "aten::stride": lambda tensor, *dim: tensor.stride(*dim) if dim else list(tensor.stride()),
    "aten::is_floating_point": Tensor.is_floating_point,
    "aten::is_complex": Tensor.is_complex,
    "aten::is_contiguous": lambda tensor, **_: tensor.is_contiguous(),
    "aten::element_size": Tensor.element_size,
    "aten::Int": int,
    "aten::IntImplicit": int,
    "aten::Float": float,
    "aten::FloatImplicit": float,
    "aten::Bool": bool,
    "aten::item": Tensor.item,
    "aten::ScalarImplicit": Tensor.item,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "prim::dtype": lambda tensor: DTYPE_CODES[tensor.dtype],
    "prim::device": lambda tensor: tensor.device,
    "prim::layout": lambda tensor: 0,
    "prim::itemsize": lambda tensor: tensor.element_size(),
    "prim::is_cuda": lambda tensor: tensor.is_cuda,
    "prim::is_cpu": lambda tensor: tensor.is_cpu,
    "prim::is_meta": lambda tensor: tensor.is_meta,
    "prim::tolist": Tensor.tolist,
}
"""Operators that turn a tensor into a Python value; those that read its data cannot run under ``torch.func.vmap``."""

ALWAYS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(
        [
            f"prim::is_{kind}"
            for kind in ("nested", "quantized", "sparse", "sparse_csr", "mkldnn", "mps", "xpu", "xla", "vulkan")
        ],
        False,
    ),
    # The differentiable branches of a model are those that run while gradients are recorded.
    "prim::requires_grad": True,
}
"""Questions about a tensor that have one answer for every tensor here."""

READS_DATA: Final = frozenset(
    [
        "aten::Int",
        "aten::IntImplicit",
        "aten::Float",
        "aten::FloatImplicit",
        "aten::Bool",
        "aten::item",
        "aten::ScalarImplicit",
        "prim::tolist",
        "aten::_pack_padded_sequence",
    ]
)
