"""Batch normalisation by running statistics, as the affine map that it is."""

import torch
from torch import Tensor


def evaluated_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float
) -> Tensor:
    """(x − mean)/√(variance + eps) · weight + bias for x [n, channels, ...], every other operand [channels].

    One multiplication and one sum. PyTorch's operator gives the same, but differentiates as if the statistics could be
    those of the batch: its backward pass reads x, and the derivative of that takes as long as a convolution's.
    """
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1, *[1] * (x.dim() - 2))
    return torch.addcmul(shift.reshape(shape), x, scale.reshape(shape))


def functional_batch_norm(  # noqa: PLR0913  # PyTorch's signature
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """What ``functional.batch_norm`` returns; None where the statistics are those of the batch."""
    return batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def batch_norm(  # noqa: PLR0913
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: bool,
) -> Tensor | None:
    """What ``torch.batch_norm`` returns; None where the statistics are those of the batch."""
    if training or running_mean is None or running_var is None:
        return None
    return evaluated_norm(x, weight, bias, running_mean, running_var, eps)
