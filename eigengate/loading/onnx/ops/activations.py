"""Activation functions, by those of torch's kernels that have every derivative; others are written from primitives."""

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops._unsigned import is_bare, modular
from eigengate.loading.onnx.registry import operator

# torch's softplus turns into the identity there; below it, e^-x is still seen by float64.
_SOFTPLUS_LINEAR = 40.0


@operator("Relu", since=6)
def relu(x: Tensor) -> Tensor:
    """max(0, x), elementwise; integers too from version 14 on."""
    return torch.relu(x)


@operator("LeakyRelu", since=6)
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """x where it is not negative, alpha x elsewhere."""
    return F.leaky_relu(x, alpha)


@operator("PRelu", since=7)
def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    """x where it is not negative, slope x elsewhere; the slope is a tensor that is broadcast to the shape of x."""
    if is_bare(x):  # unsigned, hence never negative
        return x
    # Not torch's kernel: under vmap its backward pass fails or, where shapes happen to fit, gives wrong numbers.
    return torch.relu(x) + slope * torch.clamp(x, max=0)


@operator("ThresholdedRelu", since=10)
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is greater than alpha, zero elsewhere."""
    return F.threshold(x, alpha, 0.0)


@operator("Elu", since=6)
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is positive, alpha (eˣ - 1) elsewhere."""
    return _exponential_below_zero(x, alpha, 1.0, 1.0)


@operator("Celu", since=12)
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)), whose slope is continuous; other types than float since 28."""
    return _exponential_below_zero(x, alpha, 1.0, 1.0 / alpha)


@operator("Selu", since=6)
def selu(x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    """gamma x where x is positive, gamma alpha (eˣ - 1) elsewhere."""
    return _exponential_below_zero(x, alpha, gamma, 1.0)


def _exponential_below_zero(x: Tensor, alpha: float, scale: float, rate: float) -> Tensor:
    # Its relatives in torch.nn.functional fix the scale, or round 1 / alpha to single precision in the derivative.
    result: Tensor = torch.ops.aten.elu(x, alpha, scale, rate)
    return result


@operator("Sigmoid", since=6)
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    return torch.sigmoid(x)


@operator("HardSigmoid", since=6)
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """alpha x + beta, clipped to [0, 1]."""
    return F.hardtanh(torch.add(x.new_full((), beta), x, alpha=alpha), 0.0, 1.0)


@operator("HardSwish", since=14)
def hard_swish(x: Tensor) -> Tensor:
    """x max(0, min(1, x / 6 + 1 / 2)): x times ``HardSigmoid`` with alpha = 1 / 6 and beta = 1 / 2."""
    return F.hardswish(x)


@operator("Swish", since=24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x / (1 + exp(-alpha x)); with alpha = 1 this is SiLU."""
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@operator("Tanh", since=6)
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return torch.tanh(x)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    """ln(1 + eˣ)."""
    return F.softplus(x, 1.0, _SOFTPLUS_LINEAR)


@operator("Softsign")
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return F.softsign(x)


@operator("Mish", since=18)
def mish(x: Tensor) -> Tensor:
    """x tanh(ln(1 + eˣ))."""
    return x * torch.tanh(F.softplus(x, 1.0, _SOFTPLUS_LINEAR))


@operator("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x Φ(x) with the normal distribution's Φ; "tanh" approximates it by ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    return F.gelu(x, approximate=approximate)


@operator("Shrink", since=9)
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """x + bias where x < -lambd, x - bias where x > lambd, zero between; integers keep their type."""
    if x.is_floating_point() and lambd >= 0 and bias in (0.0, lambd):
        return F.softshrink(x, lambd) if bias else F.hardshrink(x, lambd)
    return modular(_shrunk, x, bias, lambd).to(x.dtype)


def _shrunk(x: Tensor, bias: float, limit: float) -> Tensor:
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, 0))
