"""Grouped-query attention over a cache of keys and values, as ONNX Runtime's decoders have it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import GIVEN, MICROSOFT
from eigengate.loading.onnx.ops._microsoft_masks import lowest
from eigengate.loading.onnx.ops.attention import rotary_embedding
from eigengate.loading.onnx.ops.microsoft_attention import join_heads, split_heads
from eigengate.loading.onnx.registry import Tensors, operator


@operator("GroupQueryAttention", domain=MICROSOFT)
def grouped_query_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    last: Tensor = GIVEN,
    total_length: int = GIVEN,
    cosines: Tensor | None = None,
    sines: Tensor | None = None,
    positions: Tensor | None = None,
    attention_bias: Tensor | None = None,
    sinks: Tensor | None = None,
    key_scale: Tensor | None = None,
    value_scale: Tensor | None = None,
    query_norm: Tensor | None = None,
    key_norm: Tensor | None = None,
    query_lengths: Tensor | None = None,
    *,
    causal: int = 1,
    do_rotary: int = 0,
    k_norm_epsilon: float = 1e-6,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int = 0,
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    q_norm_epsilon: float = 1e-6,
    qk_norm_epsilon: float = 1e-6,
    qk_output: int = 0,
    rotary_interleaved: int = 0,
    scale: float = 0.0,
    sliding_window_cache: int = 0,
    smooth_softmax: int = -1,
    softcap: float = 0.0,
    v_quant_type: str = "NONE",
) -> Tensors:
    """Attention in which groups of ``num_heads`` / ``kv_num_heads`` query heads share keys and values.

    q is [batch, length, heads * size], or q, k and v joined along its last axis; past and present keys and values are
    [batch, kv heads, slots, size]. ``last`` has for each sequence the index of its last token, so that the cache holds
    last + 1 of them afterwards; the newest are those of this call (``query_lengths`` of them, the rest being padding
    whose results mean nothing). A query sees the tokens up to its own, or, with a window, the ``local_window_size``
    last of them; all of them where ``causal`` is 0. Scores are scale q kᵀ, then softcap tanh(scores / softcap), then
    + attention_bias; softmax may have one more term in its denominator, exp(sink) per head or, smoothed, 1. Queries
    and keys are turned by the caches of cosines and sines first where ``do_rotary`` says so, at their places in the
    cache or at ``positions``, of which a prompt, whose queries fill the cache, takes only the first.
    """
    if sliding_window_cache or any(operand is not None for operand in (key_scale, value_scale, query_norm, key_norm)):
        raise UnsupportedOperatorError("GroupQueryAttention with a quantised or evicting cache or norms is unsupported")
    q, k, v = _by_heads(query, key, value, num_heads, kv_num_heads)
    starts, ends = _extents(last.reshape(-1), query_lengths, q.shape[2])
    if do_rotary and cosines is not None and sines is not None:
        is_prompt = query_lengths is None and q.shape[2] == total_length
        where = _places(starts, positions, q, is_prompt)
        q, k = (_turned(x, cosines, sines, where, rotary_interleaved) for x in (q, k))
    present = [_present(x, past, starts, ends, total_length) for x, past in ((k, past_key), (v, past_value))]
    keys, values = (x.repeat_interleave(num_heads // kv_num_heads, 1) for x in present)
    scores = _scores(q, keys, attention_bias, scale, softcap)
    visible = _visible(starts, ends, scores, local_window_size, bool(causal))
    weights = _softmax(torch.where(visible, scores, lowest(scores)), sinks, smooth_softmax == 1)
    shown = torch.where(visible, scores, 0.0) if qk_output == 1 else weights
    return join_heads(weights @ values), *present, shown[..., :total_length]


def _by_heads(
    query: Tensor, key: Tensor | None, value: Tensor | None, heads: int, shared: int
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v as [batch, heads, length, size]."""
    if key is None or value is None:
        size = query.shape[-1] // (heads + 2 * shared)
        query, key, value = torch.split(query, [heads * size, shared * size, shared * size], -1)
    return split_heads(query, heads), split_heads(key, shared), split_heads(value, shared)


def _extents(last: Tensor, lengths: Tensor | None, queries: int) -> tuple[Tensor, Tensor]:
    """For each sequence the slot of its first new token, and the one after its last."""
    ends = last + 1
    fresh = torch.full_like(ends, queries) if lengths is None else lengths.reshape(-1)
    return ends - torch.minimum(fresh, ends), ends


def _scores(q: Tensor, keys: Tensor, attention_bias: Tensor | None, scale: float, softcap: float) -> Tensor:
    products = (q * (scale or 1 / math.sqrt(q.shape[-1]))) @ keys.mT
    scores = softcap * torch.tanh(products / softcap) if softcap > 0 else products
    if attention_bias is None:
        return scores
    return scores + F.pad(attention_bias, (0, scores.shape[-1] - attention_bias.shape[-1]))


def _places(starts: Tensor, positions: Tensor | None, q: Tensor, is_prompt: bool) -> Tensor:
    """Where the queries stand, [batch or 1, length]."""
    steps = torch.arange(q.shape[2], device=q.device)
    if positions is None:
        return starts.unsqueeze(1) + steps
    # Of a prompt, onnxruntime takes the first position of the first sequence and counts from there.
    return positions[:1, :1] + steps if is_prompt else positions


def _turned(x: Tensor, cosines: Tensor, sines: Tensor, positions: Tensor, interleaved: int) -> Tensor:
    # Padding may point beyond the caches; what it gives does not count.
    where = positions.clamp(0, cosines.shape[0] - 1)
    options = {"interleaved": interleaved, "rotary_embedding_dim": 2 * cosines.shape[1]}
    result: Tensor = rotary_embedding(x, cosines, sines, where.expand(x.shape[0], -1), **options)
    return result


def _present(new: Tensor, past: Tensor | None, starts: Tensor, ends: Tensor, total: int) -> Tensor:
    """The cache after this step: per sequence, slots before its start from the past, then the new rows, then the rest.

    The rest is what a larger past holds there, or zero.
    """
    batch, heads, length, size = new.shape
    old = new[:, :, :0] if past is None else past
    rows = torch.cat([old, new, torch.zeros_like(new[:, :, :1])], 2)
    slots = torch.arange(max(total, old.shape[2]), device=new.device)
    first, after = starts.reshape(-1, 1), ends.reshape(-1, 1)
    kept = (slots < first) | (slots >= after) & (slots < old.shape[2])
    added = torch.where(slots < after, old.shape[2] + slots - first, old.shape[2] + length)
    source = torch.where(kept, slots, added).to(torch.int64)
    return torch.gather(rows, 2, source[:, None, :, None].expand(batch, heads, -1, size))


def _visible(starts: Tensor, ends: Tensor, scores: Tensor, window: int, causal: bool) -> Tensor:
    """True where a query may look, [batch, 1, queries, slots]."""
    queries, slots = (torch.arange(size, device=scores.device) for size in scores.shape[-2:])
    visible = (slots < ends[:, None])[:, None]
    if causal:
        place = (starts[:, None] + queries)[:, :, None]
        visible = visible & (slots <= place)
        if window > 0:
            visible = visible & (slots > place - window)
    return visible.unsqueeze(1)


def _softmax(scores: Tensor, sinks: Tensor | None, smooth: bool) -> Tensor:
    if sinks is None and not smooth:
        return torch.softmax(scores, -1)
    sink = scores.new_zeros(1) if sinks is None else sinks
    column = sink.reshape(-1, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat([scores, column], -1), -1)[..., :-1]
