"""ONNX Runtime's attention operators, unfused: fused kernels have no second derivative."""

import math

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops._microsoft_masks import causal, lowest, padding_bias
from eigengate.loading.onnx.registry import Ints, Tensors, operator


@operator("Attention", domain=MICROSOFT)
def self_attention(
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_length: int | None = None,
    *,
    do_rotary: int = 0,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: int = 0,
    qkv_hidden_sizes: Ints | None = None,
    rotary_embedding_dim: int = 0,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> Tensors:
    """Multi-head self-attention including its input projection: q, k and v are the parts of x W + bias.

    x is [batch, length, inputs]; the parts are thirds, or as wide as ``qkv_hidden_sizes`` says. Scores are
    scale q kᵀ + mask + attention_bias, with scale 1 / √(head size) where it is not given; forms of the mask are those
    of ``padding_bias``. ``past`` is [2, batch, heads, past, head size], keys before values, and so is the second
    output, with the new ones appended.
    """
    if do_rotary or past_present_share_buffer:
        raise UnsupportedOperatorError(
            "Attention with do_rotary or past_present_share_buffer is known on GPUs only",
            hint="Optimise the model for the CPU execution provider.",
        )
    projected = x @ weights if bias is None else x @ weights + bias
    sizes = list(qkv_hidden_sizes) if qkv_hidden_sizes else [weights.shape[1] // 3] * 3
    query, key, value = (split_heads(part, num_heads) for part in torch.split(projected, sizes, -1))
    if past is not None:
        key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
    result, _ = attend(query, key, value, mask, attention_bias, mask_filter_value, scale, bool(unidirectional))
    # Keys and values of unequal size do not fit into one tensor, and no such model has a second output.
    return (result, torch.stack([key, value])) if key.shape == value.shape else (result,)


@operator("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    past_length: int | None = None,
    cache_indirection: Tensor | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    scale: float = 0.0,
    unidirectional: int = 0,
) -> Tensors:
    """Multi-head attention without its input projections, whose biases it adds: ``bias`` is those of q, k and v joined.

    Operands are [batch, length, heads * size]; k and v may be one [batch, length, heads, 2, size], all three one
    [batch, length, heads, 3, size]; k and v of [batch, heads, length, size] are a cache of cross-attention, to which
    no bias is added. Scores and masks are those of ``Attention``. Outputs: the result, keys and values with the past
    ones in front (within the past's buffer where ``past_length`` says how far that is filled), and the scores.
    """
    if cache_indirection is not None:
        raise UnsupportedOperatorError("beam search within MultiHeadAttention is not supported")
    query, key, value = unpacked(query, key, value, bias, num_heads)
    keys, values, shown = appended(key, value, past_key, past_value, past_length)
    options = (mask, attention_bias, mask_filter_value, scale, bool(unidirectional))
    result, scores = attend(query, keys, values, *options)
    return result, *shown, scores


@operator("DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def decoder_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    past_length: int | None = None,
    beam_width: int | None = None,
    cache_indirection: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    output_qk: int = 0,
    past_present_share_buffer: int = 0,
    scale: float = 0.0,
) -> Tensors:
    """``MultiHeadAttention`` of a single query, its inputs in another order.

    In self-attention the past keys and values are buffers, filled as far as ``past_length``; without a past, k and v
    are the cache of cross-attention.
    """
    if beam_width is not None and beam_width > 1:
        raise UnsupportedOperatorError("beam search within DecoderMaskedMultiHeadAttention is not supported")
    rest = (mask, attention_bias, past_key, past_value, past_length)
    options = {"mask_filter_value": mask_filter_value, "num_heads": num_heads, "scale": scale}
    result: Tensors = multi_head_attention(query, key, value, bias, *rest, **options)
    return result


def unpacked(
    query: Tensor, key: Tensor | None, value: Tensor | None, bias: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v as [batch, heads, length, size] with their biases added, whichever way they are packed."""
    if key is None:
        parts = [part.flatten(2) for part in query.unbind(3)]
    elif value is None:
        parts = [query, *(part.flatten(2) for part in key.unbind(3))]
    else:
        parts = [query, key, value]
    if bias is not None:
        sizes = [part.shape[-1] * (heads if part.ndim == 4 else 1) for part in parts]
        biases = torch.split(bias, sizes)
        parts = [part if part.ndim == 4 else part + its for part, its in zip(parts, biases, strict=True)]
    q, k, v = (part if part.ndim == 4 else split_heads(part, heads) for part in parts)
    return q, k, v


def appended(
    key: Tensor, value: Tensor, past_key: Tensor | None, past_value: Tensor | None, past_length: int | None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Keys and values with the past ones in front, and both as they are handed on: within buffers if there are any."""
    if past_key is None or past_value is None:
        return key, value, (key, value)
    if past_length is None:
        both = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
        return *both, both
    keys = torch.cat([past_key[:, :, :past_length], key], 2)
    values = torch.cat([past_value[:, :, :past_length], value], 2)
    rest = keys.shape[2]
    buffers = torch.cat([keys, past_key[:, :, rest:]], 2), torch.cat([values, past_value[:, :, rest:]], 2)
    return keys, values, buffers


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    attention_bias: Tensor | None,
    filling: float,
    scale: float,
    unidirectional: bool,
) -> tuple[Tensor, Tensor]:
    """softmax(scores) V as [batch, length, heads * size], and the scores: scale Q Kᵀ + mask + attention_bias."""
    scores = (query * (scale or 1 / math.sqrt(query.shape[-1]))) @ key.mT
    queries, keys = scores.shape[-2:]
    if mask is not None:
        scores = scores + padding_bias(mask, queries, keys, filling, scores)
    if attention_bias is not None:
        scores = scores + attention_bias
    if unidirectional and queries > 1:
        scores = torch.where(causal(queries, keys, scores.device), scores, lowest(scores))
    return join_heads(torch.softmax(scores, -1) @ value), scores


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, length, heads * size] to [batch, heads, length, size]."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[batch, heads, length, size] to [batch, length, heads * size]."""
    return x.transpose(1, 2).flatten(2)
