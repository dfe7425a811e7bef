"""Elementwise arithmetic of one, two or many operands."""

from functools import reduce

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Add", since=7)
def add(a: Tensor, b: Tensor) -> Tensor:
    return a + b


@operator("Sub", since=7)
def subtract(a: Tensor, b: Tensor) -> Tensor:
    return a - b


@operator("Mul", since=7)
def multiply(a: Tensor, b: Tensor) -> Tensor:
    return a * b


@operator("Div", since=7)
def divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or a.is_complex():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


@operator("Mod", since=10)
def modulo(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@operator("Pow", since=7)
def power(base: Tensor, exponent: Tensor) -> Tensor:
    return torch.pow(base, exponent).to(base.dtype)


@operator("Neg", since=6)
def negate(x: Tensor) -> Tensor:
    return -x


@operator("Abs", since=6)
def absolute(x: Tensor) -> Tensor:
    return torch.abs(x)


@operator("Reciprocal", since=6)
def reciprocal(x: Tensor) -> Tensor:
    return torch.reciprocal(x)


@operator("Sum", since=8)
def add_all(*terms: Tensor) -> Tensor:
    return reduce(torch.add, terms)


@operator("Mean", since=8)
def mean_of(*terms: Tensor) -> Tensor:
    return reduce(torch.add, terms) / len(terms)


@operator("Max", since=8)
def largest_of(*terms: Tensor) -> Tensor:
    return reduce(torch.maximum, terms)


@operator("Min", since=8)
def smallest_of(*terms: Tensor) -> Tensor:
    return reduce(torch.minimum, terms)


@operator("Clip", since=6)
def clip_to_attributes(x: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    return x if min is None and max is None else torch.clamp(x, min, max)


@operator("Clip", since=11)
def clip(x: Tensor, lowest: Tensor | None = None, highest: Tensor | None = None) -> Tensor:
    return x if lowest is None and highest is None else torch.clamp(x, lowest, highest)


@operator("CumSum", since=11)
def cumulative_sum(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    ordered = x.flip(axis) if reverse else x
    if exclusive:
        shifted = torch.cat([torch.zeros_like(ordered.narrow(axis, 0, 1)), ordered], axis)
        ordered = shifted.narrow(axis, 0, x.shape[axis])
    summed = torch.cumsum(ordered, axis, dtype=x.dtype)
    return summed.flip(axis) if reverse else summed
