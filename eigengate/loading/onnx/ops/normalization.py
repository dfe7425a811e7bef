"""Layers that standardise over channels, groups or features, by one kernel: that of group normalisation.

Of torch's fused normalisations it alone has every derivative of second order in every combination of modes, which
serves layers and instances, too: they are groups of another shape.
"""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("InstanceNormalization", since=6)
def instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """scale (x - mean) / √(variance + epsilon) + bias with statistics over the places of each channel of each sample.

    x is [batch, channels, places...], scale and bias are [channels].
    """
    return torch.group_norm(x, x.shape[1], scale, bias, epsilon)


@operator("LayerNormalization", since=17)
def layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: torch.dtype = torch.float32,
    outputs: int = 3,
) -> Tensors:
    """scale (x - mean) / √(variance + epsilon) + bias with statistics over the axes from ``axis`` on.

    Also gives the means and the inverse deviations, these axes kept with size one, in ``stash_type``: the type in which
    the statistics are taken, unless that of x is wider. Scale and bias are broadcast to x.
    """
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    axes = tuple(range(axis % x.ndim, x.ndim))
    rows = wide.reshape(-1, 1, math.prod(x.shape[a] for a in axes))
    y = _scaled(torch.group_norm(rows, 1, None, None, epsilon).reshape(x.shape).to(x.dtype), scale, bias)
    if outputs == 1:
        return (y,)
    # The kernel gives them, too, but not their derivatives where nothing else is differentiated.
    inverse = torch.rsqrt(torch.var(wide, axes, correction=0, keepdim=True) + epsilon)
    return y, torch.mean(wide, axes, keepdim=True), inverse


@operator("GroupNormalization", since=18)
def group_normalization_per_group(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int
) -> Tensor:
    """``GroupNormalization`` with scale and bias per group: before version 21, which has them per channel."""
    grouped = torch.group_norm(x, num_groups, None, None, epsilon).reshape(x.shape[0], num_groups, -1)
    return _scaled(grouped, scale.unsqueeze(-1), bias.unsqueeze(-1)).reshape(x.shape)


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
    """scale (x - mean) / √(variance + epsilon) + bias with statistics over groups of successive channels.

    x is [batch, channels, places...], scale and bias are [channels]; the statistics are those of each sample, taken in
    ``stash_type`` unless the type of x is wider.
    """
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    if wide.dtype == x.dtype:
        return torch.group_norm(x, num_groups, scale, bias, epsilon)
    channels = (-1, *[1] * (x.ndim - 2))
    standardised = torch.group_norm(wide, num_groups, None, None, epsilon).to(x.dtype)
    return _scaled(standardised, scale.reshape(channels), bias.reshape(channels))


@operator("RMSNormalization", since=23)
def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: torch.dtype = torch.float32
) -> Tensor:
    """scale x / √(mean of x² + epsilon), the mean over the axes from ``axis`` on.

    It is taken in ``stash_type`` unless the type of x is wider.
    """
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    mean_square = torch.mean(wide * wide, tuple(range(axis % x.ndim, x.ndim)), keepdim=True)
    return (wide * torch.rsqrt(mean_square + epsilon)).to(x.dtype) * scale


def _scaled(x: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    return x * scale if bias is None else torch.addcmul(bias, x, scale)
