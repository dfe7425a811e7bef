"""A convolution over the past, which it hands on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("CausalConvWithState", since=27)
def causal_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past_state: Tensor | None = None,
    *,
    activation: str = "none",
) -> Tensors:
    """Every channel's own convolution over the present and the last k - 1 places, and the places the next call needs.

    x is [batch, channels, length], the kernels are [channels, 1, k], the past is [batch, channels, k - 1] and zero
    unless given. The ``activation`` is "none", or "silu" by either of its names.
    """
    channels, _, width = weight.shape
    past = x.new_zeros(x.shape[0], channels, width - 1) if past_state is None else past_state
    padded = torch.cat([past, x], 2)
    y = torch.conv1d(padded, weight, bias, groups=channels)
    if activation in ("silu", "swish"):
        y = F.silu(y)
    elif activation != "none":
        raise ValueError(f"there is no activation '{activation}'")
    return y, padded.narrow(2, x.shape[2], width - 1)
