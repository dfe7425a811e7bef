"""Scaled dot-product attention, unfused: fused kernels have no second derivative."""

import math
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.ops.softmax import softmax
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
    """softmax(scale Q Kᵀ + mask) V, scale being 1 / √(head size) unless given; also keys and values after past ones.

    Operands are [batch, heads, length, head size], or [batch, length, heads * head size] where the numbers of heads are
    given; several query heads may share one of keys and values. Scores s become ``softcap`` tanh(s / softcap) before
    the mask, which is boolean (true where a query may look) or added. Causal queries look no further than their own
    place after the past. A query that may look nowhere gives zeros. The last output is the scores: raw (mode 0), capped
    (1), masked (2) or after the softmax (3).
    """
    heads = {"q_num_heads": q_num_heads, "kv_num_heads": kv_num_heads}
    scores = {"scale": scale, "softcap": softcap, "softmax_precision": softmax_precision}
    rest = {"is_causal": is_causal, "qk_matmul_output_mode": qk_matmul_output_mode}
    result: Tensors = attention_with_lengths(query, key, value, mask, past_key, past_value, **heads, **scores, **rest)
    return result


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
    """softmax(scale Q Kᵀ + mask) V as in version 23; keys from ``lengths`` [batch] on are padding and not looked at.

    Where there are lengths, the last query stands at the last key that is no padding. From version 25 on, a query looks
    ``left_window_size`` keys back and ``right_window_size`` keys ahead of its own place; -1 does not bound it.
    """
    packed = query.ndim == 3
    if packed:
        query, key, value = _heads(query, q_num_heads), _heads(key, kv_num_heads), _heads(value, kv_num_heads)
    past = 0 if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None:
        key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    products = _scaled_products(query, _shared(key, query), scale)
    capped = softcap * torch.tanh(products / softcap) if softcap > 0 else products
    seen = _seen(capped, past, lengths, left_window_size, 0 if is_causal else right_window_size)
    bias = _bias(mask, seen, capped)
    scores = capped if bias is None else capped + bias
    sees_the_first_key = mask is None and lengths is None and left_window_size < 0
    weights = _weights(scores, None if sees_the_first_key else bias, softmax_precision)
    values = _shared(value, query)
    result = (weights.to(values.dtype) @ values).to(query.dtype)
    shown = (products, capped, scores, weights)[qk_matmul_output_mode]
    return (result.transpose(1, 2).flatten(2) if packed else result), key, value, shown


def _heads(x: Tensor, count: int | None) -> Tensor:
    """[batch, length, heads * size] to [batch, heads, length, size]."""
    if count is None:
        raise ValueError("packed attention needs q_num_heads and kv_num_heads")
    return x.reshape(*x.shape[:2], count, -1).transpose(1, 2)


def _shared(x: Tensor, query: Tensor) -> Tensor:
    """Every key or value head as often as queries share it."""
    groups = query.shape[1] // x.shape[1]
    return x if groups == 1 else x.repeat_interleave(groups, 1)


def _scaled_products(query: Tensor, key: Tensor, scale: float | None) -> Tensor:
    """scale Q Kᵀ, by the root of the scale on both sides: rounded to the working type first, as the standard has it."""
    root = math.sqrt(scale) if scale is not None else query.shape[-1] ** -0.25
    rounded = query.new_full((), root)
    return (query * rounded) @ (key * rounded).mT


def _seen(scores: Tensor, past: int, lengths: Tensor | None, behind: int, ahead: int) -> Tensor | None:
    """Where queries may look by their place and the keys' number alone; None is everywhere."""
    queries, keys = scores.shape[-2:]
    columns = torch.arange(keys, device=scores.device)
    places = torch.arange(queries, device=scores.device).unsqueeze(1)
    sizes = None if lengths is None else lengths.reshape(-1, 1, 1, 1)
    places = places + (past if sizes is None else sizes - queries)
    bounds = [columns < sizes] if sizes is not None else []
    if ahead >= 0:
        bounds.append(columns <= places + ahead)
    if behind >= 0:
        bounds.append(columns >= places - behind)
    return None if not bounds else reduce(torch.logical_and, bounds)


def _bias(mask: Tensor | None, seen: Tensor | None, scores: Tensor) -> Tensor | None:
    """What is added to the scores: minus infinity where a query may not look."""
    parts = [_additive(part, scores) for part in (mask, seen) if part is not None]
    return reduce(torch.add, parts) if parts else None


def _additive(mask: Tensor, scores: Tensor) -> Tensor:
    """A mask as numbers; keys beyond its last are hidden."""
    if mask.dtype == torch.bool:
        mask = torch.where(mask, scores.new_zeros(()), -math.inf)
    missing = scores.shape[-1] - mask.shape[-1]
    return (F.pad(mask, (0, missing), value=-math.inf) if missing > 0 else mask).to(scores.dtype)


def _weights(scores: Tensor, bias: Tensor | None, precision: torch.dtype | None) -> Tensor:
    """The softmax of the scores; a query for which the whole bias is minus infinity attends to nothing, not to NaN."""
    wide = scores if precision is None else scores.to(precision)
    blind = None if bias is None else torch.isneginf(torch.amax(bias, -1, keepdim=True))
    weights: Tensor = softmax(wide if blind is None else torch.where(blind, 0, wide))
    return (weights if blind is None else torch.where(blind, 0, weights)).to(scores.dtype)


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
    """Pairs (a, b) of features turned by an angle that depends on their place: (c a - s b, s a + c b).

    x is [batch, heads, length, size] or, with ``num_heads`` given, [batch, length, heads * size]. Cosines and sines are
    [batch, length, size / 2], or [positions, size / 2] to be looked up at ``positions`` [batch, length]. Pairs are the
    halves of the first ``rotary_embedding_dim`` features (all, if that is 0), or neighbours where ``interleaved``.
    """
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
    result = torch.cat([pairs.flatten(-2), kept], -1)
    return result.flatten(2) if packed else result.transpose(1, 2)
