"""Batch normalisation: at inference one factor and one offset per channel."""

from functools import reduce

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("BatchNormalization", since=7)
def batch_normalization_before_channels_were_given(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    outputs: int,
) -> Tensors:
    """``BatchNormalization`` of version 7: with ``spatial`` 0 every feature of a sample has statistics of its own."""
    # Without places every feature is a channel.
    operands = [x, scale, bias, mean, variance]
    flat = operands if spatial else [x.flatten(1), *(value.reshape(-1) for value in operands[1:])]
    y, *rest = _by_outputs(flat, epsilon, momentum, outputs)
    return y.reshape(x.shape), *(value.reshape(scale.shape) for value in rest)


@operator("BatchNormalization", since=9)
def batch_normalization_by_outputs(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    outputs: int,
) -> Tensors:
    """``BatchNormalization`` before version 14, in training mode where the node has more than one output.

    These are the result, the running mean and variance, and mean and variance of the batch.
    """
    return _by_outputs([x, scale, bias, mean, variance], epsilon, momentum, outputs)


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
    """scale (x - mean) / √(variance + epsilon) + bias, all of them [channels], x [batch, channels, places...].

    In training mode mean and variance are those of the batch, and the running ones follow as further outputs:
    momentum times the old ones plus (1 - momentum) times those of the batch. Types may differ since version 15.
    """
    if not training_mode:
        return (_affine(x, scale, bias, mean, variance, epsilon),)
    return _in_training(x, scale, bias, mean, variance, epsilon, momentum)[:3]


def _by_outputs(operands: list[Tensor], epsilon: float, momentum: float, outputs: int) -> Tensors:
    x, scale, bias, mean, variance = operands
    if outputs == 1:
        return (_affine(x, scale, bias, mean, variance, epsilon),)
    return _in_training(x, scale, bias, mean, variance, epsilon, momentum)


def _in_training(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, momentum: float
) -> Tensors:
    """The result, the running mean and variance, and those of the batch."""
    # As the standard has it, statistics of half precision are taken in single.
    wide = _with_channels(x).to(reduce(torch.promote_types, (x.dtype, mean.dtype, torch.float32)))
    axes = (0, *range(2, wide.ndim))
    ours = torch.mean(wide, axes), torch.var(wide, axes, correction=0)
    running = (momentum * old + (1 - momentum) * new for old, new in zip((mean, variance), ours, strict=True))
    return _affine(x, scale, bias, *ours, epsilon), *(value.to(mean.dtype) for value in (*running, *ours))


def _affine(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    """One multiplication and one addition per element, by torch's kernel for it.

    The kernel has no derivative by the statistics: it is told that they are 0 and 1, and the true ones enter by factor
    and offset.
    """
    factor = scale * torch.rsqrt(variance + epsilon)
    offset = bias - mean * factor
    # The kernel does not mix all the types that the standard allows.
    wide = torch.promote_types(x.dtype, factor.dtype)
    factor, offset = factor.to(wide), offset.to(wide)
    zeros, ones = torch.zeros_like(factor), torch.ones_like(factor)
    y = torch.batch_norm(_with_channels(x).to(wide), factor, offset, zeros, ones, False, 0.0, 0.0, False)
    return y.reshape(x.shape).to(x.dtype)


def _with_channels(x: Tensor) -> Tensor:
    """[batch] has one channel."""
    return x.unsqueeze(1) if x.ndim == 1 else x
