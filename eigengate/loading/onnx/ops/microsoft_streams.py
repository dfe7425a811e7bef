"""Gates and mixtures of residual streams."""

import math

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.registry import Tensors, operator


@operator("GatedAdd", domain=MICROSOFT)
def gated_sum(x: Tensor, y: Tensor, gate: Tensor, gate_weight: Tensor | None = None) -> Tensor:
    """x + y · gate, the gate one number per row."""
    if gate_weight is not None:
        raise UnsupportedOperatorError("GatedAdd with a projected gate is known on GPUs only")
    return x + y * gate


@operator("HyperConnectionPreMix", domain=MICROSOFT)
def reduced_streams(streams: Tensor, mix: Tensor, *, num_branches: int = 0, reduction_scale: float = 1.0) -> Tensor:
    """reduction_scale · Σ X[…, c, :] · mix[…, c, :] over the streams c, as [..., features].

    Streams are [..., c, features], or with ``num_branches`` joined along the last axis; the mix has a number for each
    stream, or for each of its features.
    """
    branches = _branches(streams, num_branches)
    return reduction_scale * torch.sum(branches * _per_branch(mix, branches), -2)


@operator("HyperConnectionPostMix", domain=MICROSOFT)
def mixed_streams(
    streams: Tensor, update: Tensor, gates: Tensor, mix: Tensor | None = None, *, num_branches: int = 0
) -> Tensor:
    """Σ mix[…, c, k] · X[…, c, :] + gates[…, k, :] · update, in the streams' shape; without a mix X itself is added to.

    Streams are as in ``HyperConnectionPreMix``; the gates have a number for each stream, or for each of its features.
    """
    branches = _branches(streams, num_branches)
    carried = branches if mix is None else mix.to(streams.dtype).mT @ branches
    return (carried + _per_branch(gates, branches) * update.unsqueeze(-2)).reshape(streams.shape)


def _branches(streams: Tensor, count: int) -> Tensor:
    return torch.unflatten(streams, -1, (count, -1)) if count else streams


def _per_branch(values: Tensor, branches: Tensor) -> Tensor:
    """Numbers per stream, or per stream and feature, to multiply [..., c, features] with."""
    features = values.numel() // math.prod(branches.shape[:-1])
    return values.to(branches.dtype).reshape(*branches.shape[:-1], features)


@operator("EngramGate", domain=MICROSOFT)
def engram_gate(
    key: Tensor,
    query: Tensor,
    value: Tensor,
    key_scale: Tensor,
    query_scale: Tensor,
    output_scale: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Tensors:
    """g · value with g = σ(sign(s) √max(|s|, 10⁻⁶)), s = ⟨RMSNorm(key), RMSNorm(query)⟩ / √size; and its RMSNorm.

    Keys and queries are [batch, length, streams, size], values [batch, length, size], scales [streams, size].
    """
    products = _rms_normalised(key, key_scale, epsilon) * _rms_normalised(query, query_scale, epsilon)
    score = torch.sum(products, -1, keepdim=True) / math.sqrt(key.shape[-1])
    gate = torch.sigmoid(torch.sign(score) * torch.sqrt(torch.clamp(torch.abs(score), min=1e-6)))
    gated = gate * value.unsqueeze(-2)
    return (gated,) if output_scale is None else (gated, _rms_normalised(gated, output_scale, epsilon))


def _rms_normalised(x: Tensor, scale: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(torch.mean(x * x, -1, keepdim=True) + epsilon) * scale
