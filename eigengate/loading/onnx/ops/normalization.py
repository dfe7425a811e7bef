"""Normalisation layers, from means and variances: the fused kernels lack forward-over-reverse derivatives."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Tensors, operator


@operator("BatchNormalization", since=7)
def batch_normalization_at_inference(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Tensor:
    return _affine(x, mean, variance, scale, bias, epsilon)


@operator("BatchNormalization", since=14)
def batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensors:
    if not training_mode:
        return (_affine(x, mean, variance, scale, bias, epsilon),)
    axes = (0, *range(2, x.ndim))
    batch_mean, batch_variance = torch.mean(x, axes), torch.var(x, axes, correction=0)
    y = _affine(x, batch_mean, batch_variance, scale, bias, epsilon)
    running_mean = momentum * mean + (1 - momentum) * batch_mean
    return y, running_mean, momentum * variance + (1 - momentum) * batch_variance


def _affine(x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """One factor and one offset per channel."""
    factor = scale * torch.rsqrt(variance + epsilon)
    offset = bias - mean * factor
    return x * _per_channel(factor, x) + _per_channel(offset, x)


def _per_channel(value: Tensor, x: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (x.ndim - 2))


def _standardised(x: Tensor, axes: Ints, epsilon: float) -> Tensor:
    centred = x - torch.mean(x, axes, keepdim=True)
    return centred * torch.rsqrt(torch.mean(centred * centred, axes, keepdim=True) + epsilon)


@operator("InstanceNormalization", since=6)
def instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    standardised = _standardised(x, tuple(range(2, x.ndim)), epsilon)
    return standardised * _per_channel(scale, x) + _per_channel(bias, x)


@operator("LayerNormalization", since=17)
def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: torch.dtype = torch.float32,
) -> Tensors:
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    mean = torch.mean(wide, axes, keepdim=True)
    centred = wide - mean
    inverse = torch.rsqrt(torch.mean(centred * centred, axes, keepdim=True) + epsilon)
    y = (centred * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("GroupNormalization", since=18)
def group_normalization_per_group(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int
) -> Tensor:
    grouped = x.reshape(x.shape[0], num_groups, -1)
    standardised = _standardised(grouped, (2,), epsilon)
    return (standardised * scale.unsqueeze(-1) + bias.unsqueeze(-1)).reshape(x.shape)


@operator("GroupNormalization", since=21)
def group_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: torch.dtype = torch.float32,
) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, stash_type)).reshape(x.shape[0], num_groups, -1)
    standardised = _standardised(wide, (2,), epsilon).reshape(x.shape).to(x.dtype)
    return standardised * _per_channel(scale, x) + _per_channel(bias, x)


@operator("RMSNormalization", since=23)
def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: torch.dtype = torch.float32
) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    mean_square = torch.mean(wide * wide, tuple(range(axis % x.ndim, x.ndim)), keepdim=True)
    return (wide * torch.rsqrt(mean_square + epsilon)).to(x.dtype) * scale


@operator("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x: Tensor, *, axes: Ints = (0, 2, 3)) -> Tensor:
    centred = x - torch.mean(x, axes, keepdim=True)
    return centred / (torch.sqrt(torch.mean(centred * centred, axes, keepdim=True)) + 1e-9)


@operator("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    # A zero vector stays zero; the norm, which has no derivative there, is not taken of it.
    nothing = (x == 0).all(axis, keepdim=True)
    norm = torch.linalg.vector_norm(torch.where(nothing, torch.ones_like(x), x), p, axis, keepdim=True)
    return torch.where(nothing, torch.zeros_like(x), x / norm)


@operator("LRN")
def local_response_normalization(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Tensor:
    before, after = (size - 1) // 2, size // 2
    squares = torch.nn.functional.pad(x * x, (*[0, 0] * (x.ndim - 2), before, after))
    total = sum(squares.narrow(1, start, x.shape[1]) for start in range(size))
    return x / (bias + alpha / size * total) ** beta
