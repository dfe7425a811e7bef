"""ONNX Runtime's fused activations: a bias added, a gate applied, in one node."""

import math

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops.activations import gelu
from eigengate.loading.onnx.registry import Tensors, operator


@operator("Gelu", domain=MICROSOFT)
def gelu_by_error_function(x: Tensor) -> Tensor:
    """x Φ(x) with the normal distribution's Φ: the standard's ``Gelu`` without its approximation."""
    result: Tensor = gelu(x)
    return result


@operator("BiasGelu", domain=MICROSOFT)
def gelu_of_biased(x: Tensor, bias: Tensor) -> Tensor:
    """``Gelu`` of x + bias, the bias a vector along the last axis."""
    result: Tensor = gelu(x + bias)
    return result


@operator("FastGelu", domain=MICROSOFT)
def gelu_by_tanh(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """½ z (1 + tanh(√(2/π) (z + 0.044715 z³))) of z = x + bias, the bias an optional vector along the last axis."""
    result: Tensor = gelu(x if bias is None else x + bias, approximate="tanh")
    return result


@operator("QuickGelu", domain=MICROSOFT)
def gelu_by_sigmoid(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    """x σ(alpha x); with alpha = 1 this is SiLU, which the optimiser writes so."""
    return x * torch.sigmoid(alpha * x)


@operator("ScaledSiLU", domain=MICROSOFT)
def silu_of_scaled(x: Tensor, scale: Tensor | None = None, *, alpha: float = 1.0) -> Tensor:
    """z σ(z) of z = scale x, the scale one number; where that input is absent, ``alpha`` takes its place."""
    scaled = alpha * x if scale is None else scale.to(x.dtype).reshape(()) * x
    return scaled * torch.sigmoid(scaled)


@operator("BiasSplitGelu", domain=MICROSOFT)
def gelu_gate_of_biased(x: Tensor, bias: Tensor) -> Tensor:
    """The left half of x + bias times ``Gelu`` of its right half, halves along the last axis."""
    left, right = (x + bias).chunk(2, -1)
    result: Tensor = left * gelu(right)
    return result


@operator("BiasAdd", domain=MICROSOFT)
def biased_residual(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    """x + bias + skip, the bias a vector along the last axis."""
    return x + bias + skip


@operator("BiasDropout", domain=MICROSOFT)
def biased_dropout(
    x: Tensor,
    bias: Tensor,
    residual: Tensor | None = None,
    ratio: Tensor | None = None,
    training: bool | None = None,
    *,
    seed: int = 0,
) -> Tensors:
    """Dropout(x + bias) + residual as at inference, where nothing is dropped, with the mask that says so."""
    if training:
        raise UnsupportedOperatorError(
            "BiasDropout is in training mode, where it draws random numbers",
            hint="Export the model in evaluation mode (model.eval()).",
        )
    kept = x + bias if residual is None else x + bias + residual
    return kept, torch.ones(x.shape, dtype=torch.bool, device=x.device)


@operator("BiasSoftmax", domain=MICROSOFT)
def softmax_of_biased(x: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int) -> Tensor:
    """softmax(x + bias), everything from ``axis`` on being one distribution.

    The bias has as many elements from ``axis`` on and fewer before; each of its rows serves several successive rows of
    x where the broadcast is inner, and they follow each other in turn where it is not.
    """
    rows = x.reshape(math.prod(x.shape[: axis % x.ndim]), -1)
    additions = bias.reshape(-1, rows.shape[1])
    uses = rows.shape[0] // additions.shape[0]
    spread = additions.repeat_interleave(uses, 0) if is_inner_broadcast else additions.repeat(uses, 1)
    return torch.softmax(rows + spread, 1).reshape(x.shape)
