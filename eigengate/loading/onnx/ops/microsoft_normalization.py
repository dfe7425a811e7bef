"""ONNX Runtime's normalisations: fused with a residual addition, a gate or an activation."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops.normalization import layer_normalization
from eigengate.loading.onnx.registry import Tensors, operator


@operator("LayerNormalization")
def layer_normalization_before_the_standard(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: torch.dtype = torch.float32,
    outputs: int,
) -> Tensors:
    """The standard's ``LayerNormalization`` of version 17, in models of an older opset.

    ONNX Runtime has had it in the standard's domain since version 1 and fuses into it whatever the model's opset.
    """
    options = {"axis": axis, "epsilon": epsilon, "stash_type": stash_type, "outputs": outputs}
    result: Tensors = layer_normalization(x, scale, bias, **options)
    return result


@operator("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    x: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: torch.dtype = torch.float32,
) -> Tensors:
    """RMS normalisation x / √(mean(x²) + ε) · scale over the axes from ``axis`` on, and 1 / √(mean(x²) + ε).

    ONNX Runtime registers it in the standard's domain; the mean is taken in ``stash_type`` or wider.
    """
    wide = x.to(torch.promote_types(x.dtype, stash_type))
    mean_square = torch.mean(wide * wide, tuple(range(axis % x.ndim, x.ndim)), keepdim=True)
    inverse = torch.rsqrt(mean_square + epsilon)
    return (wide * inverse).to(scale.dtype) * scale, inverse


# No release of ONNX Runtime looks for these two in its own domain, but converters have written them there.
in_microsoft_domain = (
    operator("LayerNormalization", domain=MICROSOFT)(layer_normalization_before_the_standard.function),
    operator("SimplifiedLayerNormalization", domain=MICROSOFT)(simplified_layer_normalization.function),
)


@operator("SkipLayerNormalization", domain=MICROSOFT)
def layer_normalization_of_residual(
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    outputs: int,
) -> Tensors:
    """Layer normalisation of s = x + skip + bias over the last axis, its mean and 1 / √(variance + ε), and s."""
    total = x + skip if bias is None else x + skip + bias
    result: Tensors = layer_normalization(total, gamma, beta, epsilon=epsilon, outputs=outputs)
    return result if outputs == 1 else (*result, total)


@operator("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def rms_normalization_of_residual(
    x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None, *, epsilon: float = 1e-12
) -> Tensors:
    """RMS normalisation of s = x + skip + bias over the last axis; no mean; 1 / √(mean(s²) + ε); and s."""
    total = x + skip if bias is None else x + skip + bias
    y, inverse = simplified_layer_normalization(total, gamma, epsilon=epsilon)
    return y, torch.zeros_like(inverse), inverse, total


@operator("GatedRMSNorm", domain=MICROSOFT)
def gated_rms_normalization(
    x: Tensor, scale: Tensor, gate: Tensor, *, activation: str = "silu", epsilon: float = 1e-5
) -> Tensor:
    """x / √(mean(x²) + ε) · scale · φ(gate), φ being SiLU ("silu", "swish") or the sigmoid ("sigmoid").

    The mean runs over groups as long as ``scale``, of which the last axis holds several: one per head.
    """
    wide = torch.unflatten(x.to(torch.promote_types(x.dtype, torch.float32)), -1, (-1, scale.shape[0]))
    normalised = (_rms_normalised(wide, epsilon) * scale).flatten(-2)
    opening = gate.to(wide.dtype)
    opened = torch.sigmoid(opening) if activation == "sigmoid" else opening * torch.sigmoid(opening)
    return (normalised * opened).to(x.dtype)


@operator("BranchwiseRMSNorm", domain=MICROSOFT)
def branchwise_rms_normalization(
    x: Tensor, scale: Tensor | None = None, *, epsilon: float = 1e-5, num_branches: int = 0
) -> Tensor:
    """x / √(mean(x²) + ε) · scale, each branch by itself.

    Branches are the last axis but one, or ``num_branches`` equal parts of the last axis; the scale is per feature, or
    per branch and feature.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    branches = torch.unflatten(wide, -1, (num_branches, -1)) if num_branches else wide
    y = _rms_normalised(branches, epsilon)
    if scale is not None:
        y = y * (scale if scale.shape == branches.shape[-1:] else scale.reshape(branches.shape[-2:]))
    return y.reshape(x.shape).to(x.dtype)


def _rms_normalised(x: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(torch.mean(x * x, -1, keepdim=True) + epsilon)


@operator("GroupNorm", domain=MICROSOFT)
def group_normalization_channels_last(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> Tensor:
    """(x - mean) / √(variance + ε) · gamma + beta, moments per image and group of channels; then SiLU if asked for.

    Images are [n, h, w, c], or [n, c, h, w] where ``channels_last`` is 0; gamma and beta are per channel.
    """
    last = x if channels_last else x.movedim(1, -1)
    wide = last.to(torch.promote_types(x.dtype, torch.float32))
    grouped = torch.unflatten(wide, -1, (groups, -1))
    axes = (*range(1, x.ndim - 1), x.ndim)
    centred = grouped - torch.mean(grouped, axes, keepdim=True)
    standardised = centred * torch.rsqrt(torch.mean(centred * centred, axes, keepdim=True) + epsilon)
    y = standardised.flatten(-2) * gamma + beta
    y = (y * torch.sigmoid(y) if activation else y).to(x.dtype)
    return y if channels_last else y.movedim(-1, 1)


@operator("SkipGroupNorm", domain=MICROSOFT)
def group_normalization_of_residual(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    skip: Tensor,
    bias: Tensor | None = None,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> Tensors:
    """``GroupNorm`` of s = x + skip + bias, and s; the skip may be one vector of channels per image."""
    channels = -1 if channels_last else 1
    total = x + (skip if skip.ndim == x.ndim else _per_image(skip, x, channels))
    total = total if bias is None else total + _per_image(bias.unsqueeze(0), x, channels)
    options = {"activation": activation, "channels_last": channels_last, "epsilon": epsilon, "groups": groups}
    return group_normalization_channels_last(total, gamma, beta, **options), total


def _per_image(vectors: Tensor, x: Tensor, channels: int) -> Tensor:
    """[n, c] as something to add to images whose channels are that axis."""
    return vectors.reshape(vectors.shape[0], *[1] * (x.ndim - 2), -1).movedim(-1, channels)
