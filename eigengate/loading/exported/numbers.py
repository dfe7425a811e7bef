"""Arithmetic on sizes: what an exported graph computes with Python numbers instead of tensors."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

from eigengate.errors import ModelExecutionError, ShapeMismatchError

Number = int | float | bool

_LARGEST_EXPONENT: Final = 64
_LARGEST_SHIFT: Final = 62


def _power(a: Number, b: Number) -> Number:
    if abs(b) > _LARGEST_EXPONENT:
        raise ModelExecutionError(f"the model takes a size to the power of {b}")
    power: Number = a**b
    return power


def _shifted_left(a: int, b: int) -> int:
    if not 0 <= b <= _LARGEST_SHIFT:
        raise ModelExecutionError(f"the model shifts a size by {b} bits")
    return a << b


def _chosen(condition: Number, yes: Number, no: Number) -> Number:
    return yes if condition else no


NUMBERS: Final[Mapping[str, Callable[..., Any]]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
    "_operator.truediv": operator.truediv,
    "_operator.mod": operator.mod,
    "_operator.pow": _power,
    "_operator.neg": operator.neg,
    "_operator.pos": operator.pos,
    "_operator.eq": operator.eq,
    "_operator.ne": operator.ne,
    "_operator.lt": operator.lt,
    "_operator.le": operator.le,
    "_operator.gt": operator.gt,
    "_operator.ge": operator.ge,
    "_operator.and_": operator.and_,
    "_operator.or_": operator.or_,
    "_operator.lshift": _shifted_left,
    "_operator.rshift": operator.rshift,
    "math.trunc": math.trunc,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_not": operator.not_,
    "torch.sym_ite": _chosen,
    "torch.sym_sqrt": math.sqrt,
    "torch._sym_sqrt": math.sqrt,
    "torch.ops.aten.sym_size.int": lambda tensor, dim: tensor.shape[dim],
    "torch.ops.aten.sym_numel.default": Tensor.numel,
    "torch.ops.aten.item.default": Tensor.item,
    "torch.ops.aten._local_scalar_dense.default": Tensor.item,
}
"""By target, the functions whose results are numbers."""

READS_DATA: Final = frozenset({"torch.ops.aten.item.default", "torch.ops.aten._local_scalar_dense.default"})
"""Those that turn tensor data into a number."""

ASSERTION: Final = "torch.ops.aten._assert_scalar.default"

WITHOUT_EFFECT: Final = frozenset(
    {
        "torch.ops.aten._assert_tensor_metadata.default",
        "torch.ops.aten._assert_async.msg",
        "torch.ops.aten._assert_async.default",
        "torch.ops.aten.sym_constrain_range.default",
        "torch.ops.aten.sym_constrain_range_for_size.default",
    }
)
"""Promises to PyTorch's compiler, about types, data and ranges."""


def require(condition: Any, message: str) -> None:
    """A condition on sizes that the exported program states itself.

    Raises:
        ShapeMismatchError: It does not hold.
    """
    if not condition:
        raise ShapeMismatchError(
            f"the exported program does not take inputs of these sizes: {message[:300]}",
            hint="Export it again with sizes that may vary: dynamic_shapes=...",
        )
