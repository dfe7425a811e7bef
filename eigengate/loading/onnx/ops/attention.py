"""Scaled dot-product attention and what goes with it, unfused: fused kernels have no second derivative."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("Attention", since=23)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: torch.dtype | None = None,
) -> Tensors:
    packed = query.ndim == 3
    if packed:
        query, key, value = _heads(query, q_num_heads), _heads(key, kv_num_heads), _heads(value, kv_num_heads)
    if past_key is not None and past_value is not None:
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    offset = 0 if past_key is None else past_key.shape[2]
    root = math.sqrt(scale) if scale is not None else query.shape[-1] ** -0.25
    products = (query * root) @ (_repeated(key, query) * root).mT
    capped = softcap * torch.tanh(products / softcap) if softcap > 0 else products
    bias = _bias(mask, bool(is_causal), offset, capped)
    scores = capped if bias is None else capped + bias
    weights = _softmax(scores, bias, softmax_precision)
    result = weights @ _repeated(value, query)
    shown = (products, capped, scores, weights)[qk_matmul_output_mode]
    return (result.transpose(1, 2).flatten(2) if packed else result), key, value, shown


@operator("Attention", since=24)
def attention_with_lengths(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: torch.dtype | None = None,
) -> Tensors:
    """Keys beyond ``lengths`` are padding, and a window may bound how far a query looks (from version 25 on)."""
    past = 0 if past_key is None else past_key.shape[2]
    queries, keys = query.shape[-2], key.shape[-2] + past
    columns = torch.arange(keys, device=query.device)
    sizes = None if lengths is None else lengths.reshape(-1, 1, 1, 1)
    rows = torch.arange(queries, device=query.device).reshape(1, 1, queries, 1)
    rows = rows + (past if sizes is None else sizes - queries)
    seen = columns < (keys if sizes is None else sizes)
    if is_causal:
        seen = seen & (columns <= rows)
    if left_window_size >= 0:
        seen = seen & (columns >= rows - left_window_size)
    if right_window_size >= 0:
        seen = seen & (columns <= rows + right_window_size)
    bias = _additive(seen, keys, query) if mask is None else _additive(seen, keys, query) + _additive(mask, keys, query)
    options = {"q_num_heads": q_num_heads, "kv_num_heads": kv_num_heads, "scale": scale, "softcap": softcap}
    modes = {"qk_matmul_output_mode": qk_matmul_output_mode, "softmax_precision": softmax_precision}
    result: Tensors = attention(query, key, value, bias, past_key, past_value, **options, **modes)
    return result


def _heads(x: Tensor, count: int | None) -> Tensor:
    """[batch, length, heads*size] to [batch, heads, length, size]."""
    if count is None:
        raise ValueError("packed attention needs q_num_heads and kv_num_heads")
    return x.reshape(*x.shape[:2], count, -1).transpose(1, 2)


def _repeated(x: Tensor, query: Tensor) -> Tensor:
    """Every key or value head as often as queries share it."""
    groups = query.shape[1] // x.shape[1]
    return x if groups == 1 else x.repeat_interleave(groups, 1)


def _bias(mask: Tensor | None, causal: bool, offset: int, scores: Tensor) -> Tensor | None:
    """What is added to the scores: zero where a query may look, minus infinity where it may not."""
    queries, keys = scores.shape[-2:]
    bias = None if mask is None else _additive(mask, keys, scores)
    if causal:
        rows = torch.arange(queries, device=scores.device).unsqueeze(1) + offset
        seen = torch.arange(keys, device=scores.device) <= rows
        ahead = _additive(seen, keys, scores)
        bias = ahead if bias is None else bias + ahead
    return bias


def _additive(mask: Tensor, keys: int, scores: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        zero = torch.zeros((), dtype=scores.dtype, device=scores.device)
        mask = torch.where(mask, zero, -math.inf)
    missing = keys - mask.shape[-1]
    return F.pad(mask, (0, missing), value=-math.inf) if missing > 0 else mask


def _softmax(scores: Tensor, bias: Tensor | None, precision: torch.dtype | None) -> Tensor:
    wide = scores if precision is None else scores.to(torch.promote_types(precision, scores.dtype))
    if bias is None:
        return torch.softmax(wide, -1).to(scores.dtype)
    # A query that may look nowhere attends to nothing, rather than to NaN.
    blind = torch.isneginf(torch.amax(bias, -1, keepdim=True))
    weights = torch.softmax(torch.where(blind, torch.zeros_like(wide), wide), -1)
    return torch.where(blind, torch.zeros_like(weights), weights).to(scores.dtype)


@operator("RotaryEmbedding", since=23)
def rotary_embedding(
    x: Tensor,
    cosines: Tensor,
    sines: Tensor,
    positions: Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    packed = x.ndim == 3
    heads = x.reshape(*x.shape[:2], num_heads, -1) if packed else x.transpose(1, 2)
    width = rotary_embedding_dim or heads.shape[-1]
    turned, kept = heads[..., :width], heads[..., width:]
    # [batch or 1, length, 1, width / 2]
    cos, sin = (t if positions is None else t[positions] for t in (cosines, sines))
    cos, sin = cos[..., : width // 2].unsqueeze(2), sin[..., : width // 2].unsqueeze(2)
    first, second = (turned[..., 0::2], turned[..., 1::2]) if interleaved else turned.chunk(2, -1)
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    pairs = torch.stack([real, imaginary], -1 if interleaved else -2)
    rotated = pairs.flatten(-2)
    result = torch.cat([rotated, kept], -1)
    return result.flatten(2) if packed else result.transpose(1, 2)
