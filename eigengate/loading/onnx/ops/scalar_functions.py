"""Functions of one number, elementwise."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import is_bare
from eigengate.loading.onnx.registry import Smoothness, operator


@operator("Sqrt", since=6)
def square_root(x: Tensor) -> Tensor:
    """√x, elementwise; NaN below 0."""
    return torch.sqrt(x)


@operator("Exp", since=6)
def exponential(x: Tensor) -> Tensor:
    """e^x, elementwise."""
    return torch.exp(x)


@operator("Log", since=6)
def logarithm(x: Tensor) -> Tensor:
    """The natural logarithm ln x, elementwise; NaN below 0."""
    return torch.log(x)


@operator("Sin", since=7)
def sine(x: Tensor) -> Tensor:
    """sin x, elementwise, of an angle in radians."""
    return torch.sin(x)


@operator("Cos", since=7)
def cosine(x: Tensor) -> Tensor:
    """cos x, elementwise, of an angle in radians."""
    return torch.cos(x)


@operator("Tan", since=7)
def tangent(x: Tensor) -> Tensor:
    """tan x, elementwise, of an angle in radians."""
    return torch.tan(x)


@operator("Asin", since=7)
def arcsine(x: Tensor) -> Tensor:
    """The angle in [−π/2, π/2] whose sine is x, elementwise; NaN outside [−1, 1]."""
    return torch.asin(x)


@operator("Acos", since=7)
def arccosine(x: Tensor) -> Tensor:
    """The angle in [0, π] whose cosine is x, elementwise; NaN outside [−1, 1]."""
    return torch.acos(x)


@operator("Atan", since=7)
def arctangent(x: Tensor) -> Tensor:
    """The angle in (−π/2, π/2) whose tangent is x, elementwise."""
    return torch.atan(x)


@operator("Sinh", since=9)
def hyperbolic_sine(x: Tensor) -> Tensor:
    """sinh x = (e^x − e^−x) / 2, elementwise."""
    return torch.sinh(x)


@operator("Cosh", since=9)
def hyperbolic_cosine(x: Tensor) -> Tensor:
    """cosh x = (e^x + e^−x) / 2, elementwise."""
    return torch.cosh(x)


@operator("Asinh", since=9)
def area_hyperbolic_sine(x: Tensor) -> Tensor:
    """The number whose hyperbolic sine is x, elementwise."""
    return torch.asinh(x)


@operator("Acosh", since=9)
def area_hyperbolic_cosine(x: Tensor) -> Tensor:
    """The nonnegative number whose hyperbolic cosine is x, elementwise; NaN below 1."""
    return torch.acosh(x)


@operator("Atanh", since=9)
def area_hyperbolic_tangent(x: Tensor) -> Tensor:
    """The number whose hyperbolic tangent is x, elementwise; NaN outside [−1, 1]."""
    return torch.atanh(x)


@operator("Erf", since=9)
def error_function(x: Tensor) -> Tensor:
    """erf x = 2/√π ∫₀ˣ e^−t² dt, elementwise.

    Before opset 13 integers were allowed too; their result is cut off to an integer.
    """
    return torch.erf(x) if x.is_floating_point() else torch.erf(x.float()).to(x.dtype)


@operator("Floor", since=6, smoothness=Smoothness.FLAT)
def floor(x: Tensor) -> Tensor:
    """⌊x⌋, the largest integer not above x, elementwise."""
    return torch.floor(x)


@operator("Ceil", since=6, smoothness=Smoothness.FLAT)
def ceiling(x: Tensor) -> Tensor:
    """⌈x⌉, the smallest integer not below x, elementwise."""
    return torch.ceil(x)


@operator("Round", since=11, smoothness=Smoothness.FLAT)
def round_half_to_even(x: Tensor) -> Tensor:
    """The integer nearest to x, elementwise; halves go to the even one."""
    return torch.round(x)


@operator("Sign", since=9, smoothness=Smoothness.FLAT)
def sign(x: Tensor) -> Tensor:
    """1 where x > 0, −1 where x < 0 and 0 where x = 0, elementwise; NaN stays NaN."""
    if not x.is_floating_point():
        return (x != 0).to(x.dtype) if is_bare(x) else torch.sign(x)
    return torch.where(torch.isnan(x), x.detach(), torch.sign(x))
