"""Functions of one number, elementwise."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Sqrt", since=6)
def square_root(x: Tensor) -> Tensor:
    return torch.sqrt(x)


@operator("Exp", since=6)
def exponential(x: Tensor) -> Tensor:
    return torch.exp(x)


@operator("Log", since=6)
def logarithm(x: Tensor) -> Tensor:
    return torch.log(x)


@operator("Sin", since=7)
def sine(x: Tensor) -> Tensor:
    return torch.sin(x)


@operator("Cos", since=7)
def cosine(x: Tensor) -> Tensor:
    return torch.cos(x)


@operator("Tan", since=7)
def tangent(x: Tensor) -> Tensor:
    return torch.tan(x)


@operator("Asin", since=7)
def arcsine(x: Tensor) -> Tensor:
    return torch.asin(x)


@operator("Acos", since=7)
def arccosine(x: Tensor) -> Tensor:
    return torch.acos(x)


@operator("Atan", since=7)
def arctangent(x: Tensor) -> Tensor:
    return torch.atan(x)


@operator("Sinh", since=9)
def hyperbolic_sine(x: Tensor) -> Tensor:
    return torch.sinh(x)


@operator("Cosh", since=9)
def hyperbolic_cosine(x: Tensor) -> Tensor:
    return torch.cosh(x)


@operator("Asinh", since=9)
def area_hyperbolic_sine(x: Tensor) -> Tensor:
    return torch.asinh(x)


@operator("Acosh", since=9)
def area_hyperbolic_cosine(x: Tensor) -> Tensor:
    return torch.acosh(x)


@operator("Atanh", since=9)
def area_hyperbolic_tangent(x: Tensor) -> Tensor:
    return torch.atanh(x)


@operator("Erf", since=9)
def error_function(x: Tensor) -> Tensor:
    return torch.erf(x)


@operator("Floor", since=6)
def floor(x: Tensor) -> Tensor:
    return torch.floor(x)


@operator("Ceil", since=6)
def ceiling(x: Tensor) -> Tensor:
    return torch.ceil(x)


@operator("Round", since=11)
def round_half_to_even(x: Tensor) -> Tensor:
    return torch.round(x)


@operator("Sign", since=9)
def sign(x: Tensor) -> Tensor:
    return torch.sign(x)
