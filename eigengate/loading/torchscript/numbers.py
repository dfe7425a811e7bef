"""Shape arithmetic of traces: numbers that TorchScript writes as zero-dimensional tensors stay Python numbers here.

A trace turns ``x.shape[0] // 2`` into ``NumToTensor``, tensor arithmetic and ``Int``. Done on tensors this would need
``.item()``, which no transform allows; done on numbers it is exact and free.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

Number = int | float | bool


def _add(a: Number, b: Number, alpha: Number = 1) -> Number:
    return a + alpha * b


def _sub(a: Number, b: Number, alpha: Number = 1) -> Number:
    return a - alpha * b


def _rsub(a: Number, b: Number, alpha: Number = 1) -> Number:
    return b - alpha * a


def _div(a: Number, b: Number, rounding_mode: str | None = None) -> Number:
    if rounding_mode == "floor":
        return a // b
    return math.trunc(a / b) if rounding_mode == "trunc" else a / b


def _to(value: Number, dtype: int | None = None, *_: Any, **__: Any) -> Number:
    if dtype is None:
        return value
    return float(value) if dtype in (5, 6, 7, 15) else int(value)


ARITHMETIC: Final[Mapping[str, Callable[..., Number]]] = {
    "aten::add": _add,
    "aten::sub": _sub,
    "aten::rsub": _rsub,
    "aten::mul": operator.mul,
    "aten::div": _div,
    "aten::true_divide": operator.truediv,
    "aten::floor_divide": operator.floordiv,
    "aten::remainder": operator.mod,
    "aten::neg": operator.neg,
    "aten::pow": operator.pow,
    "aten::floor": math.floor,
    "aten::ceil": math.ceil,
    "aten::round": round,
    "aten::sqrt": math.sqrt,
    "aten::abs": abs,
    "aten::minimum": min,
    "aten::maximum": max,
    "aten::to": _to,
    "aten::clone": lambda value, **_: value,
}
"""Operators whose result on numbers is again a number standing for a tensor."""

READING: Final[Mapping[str, Callable[[Number], Number]]] = {
    "aten::Int": int,
    "aten::IntImplicit": int,
    "aten::Float": float,
    "aten::FloatImplicit": float,
    "aten::Bool": bool,
    "aten::item": lambda value: value,
    "aten::ScalarImplicit": lambda value: value,
}
"""Operators that end the arithmetic: the number becomes an ordinary scalar."""
