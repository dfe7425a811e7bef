"""Activation functions, from primitives that are twice differentiable both ways."""

import math

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.registry import Tensors, operator


@operator("Relu", since=6)
def relu(x: Tensor) -> Tensor:
    return torch.relu(x) if x.is_floating_point() else torch.clamp(x, min=0)


@operator("LeakyRelu", since=6)
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return torch.where(x > 0, x, alpha * x)


@operator("PRelu", since=7)
def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


@operator("ThresholdedRelu", since=10)
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


@operator("Elu", since=6)
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return _exponential_below_zero(x, alpha, 1.0)


@operator("Celu", since=12)
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return _exponential_below_zero(x, alpha, 1.0 / alpha)


@operator("Selu", since=6)
def selu(x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    return gamma * _exponential_below_zero(x, alpha, 1.0)


def _exponential_below_zero(x: Tensor, height: float, rate: float) -> Tensor:
    # The clamp keeps the unused branch finite, so that its zero cotangent stays zero.
    return torch.where(x > 0, x, height * torch.expm1(torch.clamp(x, max=0) * rate))


@operator("Sigmoid", since=6)
def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@operator("HardSigmoid", since=6)
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@operator("HardSwish", since=14)
def hard_swish(x: Tensor) -> Tensor:
    return x * torch.clamp(x / 6 + 0.5, 0, 1)


@operator("Swish", since=24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return x * torch.sigmoid(alpha * x)


@operator("Tanh", since=6)
def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


@operator("Softsign")
def softsign(x: Tensor) -> Tensor:
    return x / (1 + torch.abs(x))


@operator("Mish", since=18)
def mish(x: Tensor) -> Tensor:
    return x * torch.tanh(torch.logaddexp(x, torch.zeros_like(x)))


@operator("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + torch.erf(x * math.sqrt(0.5)))


@operator("Shrink", since=9)
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    moved = torch.where(x > lambd, x - bias, x + bias)
    return torch.where(torch.abs(x) > lambd, moved, torch.zeros_like(x)).to(x.dtype)


@operator("Softmax")
def softmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return torch.softmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@operator("LogSoftmax")
def log_softmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return torch.log_softmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


@operator("Hardmax")
def hardmax_of_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return _hardmax(_as_matrix(x, axis), 1).reshape(x.shape)


@operator("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return _hardmax(x, axis)


def _hardmax(x: Tensor, axis: int) -> Tensor:
    first = torch.argmax(x, axis, keepdim=True)
    return torch.scatter(torch.zeros_like(x), axis, first, 1.0)


def _as_matrix(x: Tensor, axis: int) -> Tensor:
    """Before opset 13 everything from ``axis`` on is one distribution."""
    split = axis if axis >= 0 else axis + x.ndim
    return x.reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))


@operator("Dropout", since=7)
def dropout_at_inference(x: Tensor, *, ratio: float = 0.5, outputs: int) -> Tensors:
    return (x, torch.ones(x.shape, dtype=torch.bool, device=x.device))[:outputs]


@operator("Dropout", since=12)
def dropout(
    x: Tensor, ratio: Tensor | None = None, training: bool | None = None, *, seed: int = 0, outputs: int
) -> Tensors:
    if training and (ratio is None or bool(ratio != 0)):
        raise UnsupportedOperatorError(
            "Dropout is in training mode, where it draws random numbers",
            hint="Export the model in evaluation mode (model.eval()).",
        )
    return (x, torch.ones(x.shape, dtype=torch.bool, device=x.device))[:outputs]
