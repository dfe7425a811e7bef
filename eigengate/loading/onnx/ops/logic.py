"""Comparison, selection, boolean and bitwise operators."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import in_order, modular
from eigengate.loading.onnx.registry import Smoothness, operator


@operator("Equal", since=7, smoothness=Smoothness.NONE)
def equal(a: Tensor, b: Tensor) -> Tensor:
    """Whether a = b, elementwise with multidirectional broadcasting; of floating operands since opset 11."""
    return a == b


@operator("Less", since=7, smoothness=Smoothness.NONE)
def less(a: Tensor, b: Tensor) -> Tensor:
    """Whether a < b, elementwise with multidirectional broadcasting; of integers since opset 9."""
    return in_order(a) < in_order(b)


@operator("Greater", since=7, smoothness=Smoothness.NONE)
def greater(a: Tensor, b: Tensor) -> Tensor:
    """Whether a > b, elementwise with multidirectional broadcasting; of integers since opset 9."""
    return in_order(a) > in_order(b)


@operator("LessOrEqual", since=12, smoothness=Smoothness.NONE)
def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Whether a ≤ b, elementwise with multidirectional broadcasting."""
    return in_order(a) <= in_order(b)


@operator("GreaterOrEqual", since=12, smoothness=Smoothness.NONE)
def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """Whether a ≥ b, elementwise with multidirectional broadcasting."""
    return in_order(a) >= in_order(b)


@operator("And", since=7, smoothness=Smoothness.NONE)
def both(a: Tensor, b: Tensor) -> Tensor:
    """The conjunction of booleans, elementwise with multidirectional broadcasting."""
    return torch.logical_and(a, b)


@operator("Or", since=7, smoothness=Smoothness.NONE)
def either(a: Tensor, b: Tensor) -> Tensor:
    """The disjunction of booleans, elementwise with multidirectional broadcasting."""
    return torch.logical_or(a, b)


@operator("Xor", since=7, smoothness=Smoothness.NONE)
def exactly_one(a: Tensor, b: Tensor) -> Tensor:
    """Whether exactly one of two booleans is true, elementwise with multidirectional broadcasting."""
    return torch.logical_xor(a, b)


@operator("Not", smoothness=Smoothness.NONE)
def negation(x: Tensor) -> Tensor:
    """The negation of booleans, elementwise."""
    return torch.logical_not(x)


@operator("Where", since=9)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds and b elsewhere, elementwise with multidirectional broadcasting of all three."""
    return torch.where(condition, a, b)


@operator("IsNaN", since=9, smoothness=Smoothness.NONE)
def is_nan(x: Tensor) -> Tensor:
    """Whether x is not a number, elementwise."""
    return torch.isnan(x)


@operator("IsInf", since=10, smoothness=Smoothness.NONE)
def is_infinite(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Whether x is infinite, elementwise; the attributes say which sign counts."""
    signed = (x > 0) & bool(detect_positive) | (x < 0) & bool(detect_negative)
    return torch.isinf(x) & signed


@operator("BitwiseAnd", since=18, smoothness=Smoothness.NONE)
def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    """The bits that are set in both integers, elementwise with multidirectional broadcasting."""
    return torch.bitwise_and(a, b)


@operator("BitwiseOr", since=18, smoothness=Smoothness.NONE)
def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    """The bits that are set in either integer, elementwise with multidirectional broadcasting."""
    return torch.bitwise_or(a, b)


@operator("BitwiseXor", since=18, smoothness=Smoothness.NONE)
def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    """The bits in which two integers differ, elementwise with multidirectional broadcasting."""
    return torch.bitwise_xor(a, b)


@operator("BitwiseNot", since=18, smoothness=Smoothness.NONE)
def bitwise_not(x: Tensor) -> Tensor:
    """Every bit of an integer turned over, elementwise."""
    return modular(torch.bitwise_not, x)
