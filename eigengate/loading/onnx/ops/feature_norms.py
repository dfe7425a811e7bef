"""Normalisation by statistics of other shapes: along chosen axes, by a norm, or over neighbouring channels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, operator


@operator("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x: Tensor, *, axes: Ints = (0, 2, 3)) -> Tensor:
    """(x - mean) / (√variance + 1e-9), both over ``axes``; where the variance is zero, so is the result."""
    centred = x - torch.mean(x, axes, keepdim=True)
    variance = torch.mean(centred * centred, axes, keepdim=True)
    # The square root has no derivative at zero, where nothing depends on it.
    deviation = torch.where(variance > 0, torch.sqrt(torch.where(variance > 0, variance, 1)), 0)
    return centred / (deviation + 1e-9)


@operator("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """x / ‖x‖ with the norm of order ``p`` (1 or 2) along the axis; a vector of zeros stays one."""
    # The norm has no derivative at zero and is not taken there.
    nothing = (x == 0).all(axis, keepdim=True)
    norm = torch.linalg.vector_norm(torch.where(nothing, 1, x), p, axis, keepdim=True)
    return torch.where(nothing, 0, x / norm)


@operator("LRN")
def local_response_normalization(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Tensor:
    """x / (bias + alpha / size Σ x²)^beta, the sum over ``size`` neighbouring channels of which x's is the middle one.

    Of an even number of neighbours, more come after than before; channels beyond the first and last are zero.
    """
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x * x, (*[0, 0] * (x.ndim - 2), before, after))
    total = sum(squares.narrow(1, start, x.shape[1]) for start in range(size))
    return x / (bias + alpha / size * total) ** beta
