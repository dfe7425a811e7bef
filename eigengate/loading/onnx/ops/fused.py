"""Operators of no file: what stands for several nodes after fusion."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import operator


@operator("Linear", domain="eigengate")
def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W + b over the last axis of x; W is [in, out]."""
    flat = x.reshape(-1, x.shape[-1])
    return torch.addmm(bias, flat, weight).reshape(*x.shape[:-1], weight.shape[1])
