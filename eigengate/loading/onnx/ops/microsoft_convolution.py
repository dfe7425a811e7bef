"""ONNX Runtime's convolutions: with a sum and an activation fused in, with pads known only when run, with a past."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import GIVEN, MICROSOFT
from eigengate.loading.onnx.ops._microsoft_fusions import fused_activation
from eigengate.loading.onnx.ops.convolution import convolution, transposed_convolution
from eigengate.loading.onnx.registry import Floats, Ints, Tensors, operator


@operator("FusedConv", domain=MICROSOFT)
def fused_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    summand: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Floats = (),
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """φ(conv(X, W) + bias + Z): the standard's ``Conv``, a summand of its output's shape, then the named activation."""
    geometry = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    y: Tensor = convolution(x, weight, bias, group=group, kernel_shape=kernel_shape, **geometry)
    activate = fused_activation(activation)
    return activate(y if summand is None else y + summand, activate.named(activation_params))


@operator("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def transposed_convolution_with_dynamic_pads(
    x: Tensor,
    weight: Tensor,
    pads: Ints,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """The standard's ``ConvTranspose``, its pads being an input."""
    geometry = {"dilations": dilations, "output_padding": output_padding, "pads": pads, "strides": strides}
    y: Tensor = transposed_convolution(
        x, weight, bias, auto_pad=auto_pad, group=group, kernel_shape=kernel_shape, **geometry
    )
    return y


@operator("CausalConvWithState", domain=MICROSOFT)
def causal_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past: Tensor | None = None,
    *,
    activation: str = "none",
    channels_last: int = 0,
    dilation: int = 1,
    input_channel_offset: int = 0,
    input_channels: int = 0,
    ndim: int = 1,
    state_channels_last: int = -1,
    state_length: int = 0,
    state_update_capacity: int = 0,
    state_window: int = 0,
) -> Tensors:
    """Each channel's convolution with its kernel over the present and past positions, and the last positions.

    x is [batch, channels, length], or [batch, length, ...channels] where channels come last, and so is the state of
    (taps - 1) · dilation positions that stands before x, zero if absent. The kernel is [channels, 1, taps]; a last
    activation is SiLU ("silu", "swish").
    """
    beyond = (input_channel_offset, input_channels, state_length, state_update_capacity, state_window)
    if ndim != 1 or any(beyond) or state_channels_last not in (-1, channels_last):
        raise UnsupportedOperatorError("CausalConvWithState of several axes or with windows is known on GPUs only")
    planes = x.flatten(2).mT if channels_last else x
    before = None if past is None else past.flatten(2).mT if channels_last else past
    y, last = _after_the_past(planes, weight, bias, before, activation, dilation)
    if not channels_last:
        return y, last
    return tuple(value.mT.reshape(x.shape[0], -1, *x.shape[2:]) for value in (y, last))


@operator("VarlenCausalConvWithState", domain=MICROSOFT)
def ragged_causal_convolution(
    x: Tensor,
    weight: Tensor,
    bounds: Ints,
    bias: Tensor | None = None,
    past: Tensor = GIVEN,
    capture_count: Tensor | None = None,
    kernel_delta: Tensor | None = None,
    previous_mask: Tensor | None = None,
    *,
    activation: str = "none",
    delta_offset: int = 0,
    dilation: int = 1,
    group_size: int = 1,
    state_update_capacity: int = 0,
) -> Tensors:
    """``CausalConvWithState`` of tokens [tokens, channels] of which sequences reach from one of ``bounds`` to the next.

    States are [batch, channels, (taps - 1) · dilation].
    """
    if state_update_capacity or kernel_delta is not None:
        raise UnsupportedOperatorError("VarlenCausalConvWithState with captured updates or deltas is not supported")
    results = [
        _after_the_past(x[start:end].mT.unsqueeze(0), weight, bias, state, activation, dilation)
        for (start, end), state in zip(itertools.pairwise(bounds), torch.split(past, 1), strict=True)
    ]
    return torch.cat([y.squeeze(0).mT for y, _ in results]), torch.cat([last for _, last in results])


def _after_the_past(
    x: Tensor, weight: Tensor, bias: Tensor | None, past: Tensor | None, activation: str, dilation: int
) -> tuple[Tensor, Tensor]:
    """The convolution of [batch, channels, length] with what stands before it, and what will stand before the next."""
    reach = (weight.shape[-1] - 1) * dilation
    whole = F.pad(x, (reach, 0)) if past is None else torch.cat([past, x], -1)
    y: Tensor = convolution(whole, weight, bias, dilations=(dilation,), group=x.shape[1])
    active = y * torch.sigmoid(y) if activation in ("silu", "swish") else y
    return active, whole[..., whole.shape[-1] - reach :]
