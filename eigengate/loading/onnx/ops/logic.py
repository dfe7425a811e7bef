"""Comparison, selection, boolean and bitwise operators."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Equal", since=7)
def equal(a: Tensor, b: Tensor) -> Tensor:
    return a == b


@operator("Less", since=7)
def less(a: Tensor, b: Tensor) -> Tensor:
    return a < b


@operator("Greater", since=7)
def greater(a: Tensor, b: Tensor) -> Tensor:
    return a > b


@operator("LessOrEqual", since=12)
def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    return a <= b


@operator("GreaterOrEqual", since=12)
def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    return a >= b


@operator("And", since=7)
def both(a: Tensor, b: Tensor) -> Tensor:
    return torch.logical_and(a, b)


@operator("Or", since=7)
def either(a: Tensor, b: Tensor) -> Tensor:
    return torch.logical_or(a, b)


@operator("Xor", since=7)
def exactly_one(a: Tensor, b: Tensor) -> Tensor:
    return torch.logical_xor(a, b)


@operator("Not")
def negation(x: Tensor) -> Tensor:
    return torch.logical_not(x)


@operator("Where", since=9)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operator("IsNaN", since=9)
def is_nan(x: Tensor) -> Tensor:
    return torch.isnan(x)


@operator("IsInf", since=10)
def is_infinite(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    signed = (x > 0) & bool(detect_positive) | (x < 0) & bool(detect_negative)
    return torch.isinf(x) & signed


@operator("BitwiseAnd", since=18)
def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    return torch.bitwise_and(a, b)


@operator("BitwiseOr", since=18)
def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    return torch.bitwise_or(a, b)


@operator("BitwiseXor", since=18)
def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    return torch.bitwise_xor(a, b)


@operator("BitwiseNot", since=18)
def bitwise_not(x: Tensor) -> Tensor:
    return torch.bitwise_not(x)
