"""Dropout at inference, where it keeps everything."""

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.registry import Tensors, operator


@operator("Dropout", since=7)
def dropout_with_typed_mask(x: Tensor, *, ratio: float = 0.5) -> Tensors:
    """x as it is: these versions know inference only. The second output, the mask, has the type of x here."""
    return x, torch.ones_like(x)


@operator("Dropout", since=10)
def dropout_at_inference(x: Tensor, *, ratio: float = 0.5) -> Tensors:
    """x as it is: these versions know inference only. The mask is true everywhere."""
    return x, _kept(x)


@operator("Dropout", since=12)
def dropout(x: Tensor, ratio: float | None = None, training: bool | None = None, *, seed: int | None = None) -> Tensors:
    """x as it is, unless ``training`` is true and a positive share of it would be dropped; the mask is true everywhere.

    The ratio (one half unless given) is an input since version 12. Training draws random numbers and is refused.
    """
    if training and (ratio is None or ratio != 0):
        raise UnsupportedOperatorError(
            "Dropout is in training mode, where it draws random numbers",
            hint="Export the model in evaluation mode (model.eval()).",
        )
    return x, _kept(x)


def _kept(x: Tensor) -> Tensor:
    return torch.ones(x.shape, dtype=torch.bool, device=x.device)
