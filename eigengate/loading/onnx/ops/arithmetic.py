"""Elementwise arithmetic of one, two or many operands."""

from functools import reduce

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import is_bare, modular, ordered, quotient
from eigengate.loading.onnx.registry import operator


@operator("Add", since=7)
def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b, elementwise with multidirectional broadcasting; integers wrap around."""
    return modular(torch.add, a, b)


@operator("Sub", since=7)
def subtract(a: Tensor, b: Tensor) -> Tensor:
    """a − b, elementwise with multidirectional broadcasting; integers wrap around."""
    return modular(torch.sub, a, b)


@operator("Mul", since=7)
def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a · b, elementwise with multidirectional broadcasting; integers wrap around."""
    return modular(torch.mul, a, b)


@operator("Div", since=7)
def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, elementwise with multidirectional broadcasting; of integers the quotient rounded towards zero."""
    return a / b if a.is_floating_point() or a.is_complex() else quotient(a, b)


@operator("Mod", since=10)
def modulo(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """a − ⌊a / b⌋ · b, elementwise, with the sign of b; with ``fmod`` a − trunc(a / b) · b, with the sign of a.

    Before opset 28 floating operands were allowed with ``fmod`` only. The derivative is that of a piecewise linear
    function: 1 by a, the negative quotient by b.
    """
    if a.dtype == torch.uint64:
        return modular(lambda n, d, q: n - q * d, a, b, quotient(a, b))
    return modular(torch.fmod if fmod else torch.remainder, a, b)


@operator("Pow", since=7)
def power(base: Tensor, exponent: Tensor) -> Tensor:
    """base ^ exponent, elementwise with multidirectional broadcasting, in the type of the base.

    Since opset 12 the exponent may have another type than the base, and both may be integers.
    """
    if is_bare(exponent):
        exponent = exponent.to(torch.int64)
    if not exponent.is_floating_point():
        base = torch.where(exponent == 0, 1, base)  # the second derivative of x⁰ at 0 would be 0 · ∞
    common = torch.promote_types(base.dtype, exponent.dtype)
    if common.is_floating_point and not base.is_floating_point():
        common = torch.float64  # float32 does not hold every int32
    return torch.pow(base.to(common), exponent.to(common)).to(base.dtype)


@operator("Neg", since=6)
def negate(x: Tensor) -> Tensor:
    """−x, elementwise."""
    return -x


@operator("Abs", since=6)
def absolute(x: Tensor) -> Tensor:
    """|x|, elementwise; unsigned integers are what they are. The derivative at 0 is taken to be 0."""
    return x if is_bare(x) else torch.abs(x)


@operator("Reciprocal", since=6)
def reciprocal(x: Tensor) -> Tensor:
    """1 / x, elementwise."""
    return torch.reciprocal(x)


@operator("Sum", since=6)
def add_all(*terms: Tensor) -> Tensor:
    """The elementwise sum of one or more operands; they broadcast since opset 8."""
    return reduce(torch.add, terms)


@operator("Mean", since=6)
def mean_of(*terms: Tensor) -> Tensor:
    """The elementwise arithmetic mean of one or more operands; they broadcast since opset 8."""
    return reduce(torch.add, terms) / len(terms)


@operator("Max", since=6)
def largest_of(*terms: Tensor) -> Tensor:
    """The elementwise maximum of one or more operands; they broadcast since opset 8.

    A NaN in any of them is passed on. Where two operands are equal each has half the derivative.
    """
    return ordered(lambda *values: reduce(torch.maximum, values), *terms)


@operator("Min", since=6)
def smallest_of(*terms: Tensor) -> Tensor:
    """The elementwise minimum of one or more operands; they broadcast since opset 8.

    A NaN in any of them is passed on. Where two operands are equal each has half the derivative.
    """
    return ordered(lambda *values: reduce(torch.minimum, values), *terms)


@operator("Clip", since=6)
def clip_to_attributes(x: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    """min(max(x, ``min``), ``max``), elementwise, between two attributes.

    Their defaults are the lowest and the highest finite float32, which exporters also write out: no bound is meant.
    """
    limit = torch.finfo(x.dtype).max
    lowest = None if min is None or min <= -_within(limit) else min
    highest = None if max is None or max >= _within(limit) else max
    return x if lowest is None and highest is None else torch.clamp(x, lowest, highest)


def _within(limit: float) -> float:
    """The largest bound that bounds anything in the type and can be written as a float32."""
    return min(limit, torch.finfo(torch.float32).max)


@operator("Clip", since=11)
def clip(x: Tensor, lowest: Tensor | None = None, highest: Tensor | None = None) -> Tensor:
    """min(max(x, lowest), highest), elementwise, between two scalar operands, each of which may be absent.

    Where lowest > highest every element becomes highest. Integers are allowed since opset 12.
    """
    if lowest is None and highest is None:
        return x
    bounds = (None if bound is None else bound.reshape(()) for bound in (lowest, highest))
    return ordered(torch.clamp, x, *bounds)


@operator("CumSum", since=11)
def cumulative_sum(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """y_i = Σ_{j ≤ i} x_j along ``axis``; ``exclusive`` leaves out x_i itself, ``reverse`` sums from the end."""
    return modular(_cumulative_sum, x, axis, bool(exclusive), bool(reverse))


def _cumulative_sum(x: Tensor, axis: int, exclusive: bool, reverse: bool) -> Tensor:
    terms = x.flip(axis) if reverse else x
    if exclusive and x.shape[axis]:
        nothing = torch.zeros_like(terms.narrow(axis, 0, 1))
        terms = torch.cat([nothing, terms.narrow(axis, 0, x.shape[axis] - 1)], axis)
    summed = torch.cumsum(terms, axis, dtype=x.dtype)
    return summed.flip(axis) if reverse else summed
