"""Linear attention: a state per head that every token decays, corrects and reads."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.registry import Ints, Tensors, operator

_DECAYING, _CORRECTING = ("gated", "gated_delta"), ("delta", "gated_delta")


@final
@dataclass(frozen=True)
class _Tokens:
    """Operands of a recurrence, [batch, length, heads, size]; decay and rate are per head, or per key feature of it."""

    query: Tensor
    key: Tensor
    value: Tensor
    decay: Tensor | None = None
    rate: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "_Tokens":
        decay, rate = (None if x is None else change(x) for x in (self.decay, self.rate))
        return _Tokens(change(self.query), change(self.key), change(self.value), decay, rate)

    def read(self, state: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """What every token reads from its state [batch, heads, key size, value size], and the last state."""
        states = []
        keys = self.key.repeat_interleave(self.value.shape[2] // self.key.shape[2], 2)
        for step in range(self.value.shape[1]):
            if self.decay is not None:
                state = torch.exp(self.decay[:, step]).unsqueeze(-1) * state
            update = self.value[:, step]
            if self.rate is not None:
                update = self.rate[:, step] * (update - torch.einsum("bhkv,bhk->bhv", state, keys[:, step]))
            state = state + keys[:, step].unsqueeze(-1) * update.unsqueeze(-2)
            states.append(state)
        heads = max(self.query.shape[2], self.value.shape[2])
        seen = torch.stack(states, 1).repeat_interleave(heads // self.value.shape[2], 2)
        asked = self.query * (scale or 1 / math.sqrt(self.query.shape[-1]))
        return torch.einsum("bthk,bthkv->bthv", asked.repeat_interleave(heads // asked.shape[2], 2), seen), state


@operator("LinearAttention", domain=MICROSOFT)
def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    state_window: int = 0,
    update_rule: str = "gated_delta",
) -> Tensors:
    """o = scale Sᵀ q with S ← e^g S + k ⊗ v for every token, and the last S, [batch, kv heads, key size, value size].

    The rules: "linear" has no decay g, "gated" has it; "delta" puts β (v - Sᵀ k) in v's place, "gated_delta"
    β (v - e^g Sᵀ k). Operands are [batch, length, heads * size]; g is per head, or per head and key feature. Query
    heads share the states, or states the query heads, whichever are more.
    """
    if state_window:
        raise UnsupportedOperatorError("LinearAttention with a window of states is known on GPUs only")
    q = torch.unflatten(query, -1, (q_num_heads, -1))
    k, v = (torch.unflatten(x, -1, (kv_num_heads, -1)) for x in (key, value))
    state = k.new_zeros(k.shape[0], kv_num_heads, k.shape[-1], v.shape[-1]) if past is None else past
    gates = None if decay is None or update_rule not in _DECAYING else torch.unflatten(decay, -1, (kv_num_heads, -1))
    rates = None if beta is None or update_rule not in _CORRECTING else beta.unsqueeze(-1)
    result, last = _Tokens(q, k, v, gates, rates).read(state, scale)
    return result.flatten(2), last


@operator("LinearAttentionGate", domain=MICROSOFT)
def linear_attention_gate(a: Tensor, bias: Tensor, decay_scale: Tensor, b: Tensor | None = None) -> Tensors:
    """decay_scale · softplus(a + bias), and σ(b): the decay and the rate that ``LinearAttention`` takes, per head."""
    raw = a + bias
    decay = (decay_scale * torch.logaddexp(raw, torch.zeros_like(raw))).to(a.dtype)
    return (decay,) if b is None else (decay, torch.sigmoid(b))


@operator("GatedDeltaNet", domain=MICROSOFT)
def gated_delta_net(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bounds: Ints | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    past: Tensor | None = None,
    a_log: Tensor | None = None,
    dt_bias: Tensor | None = None,
    capture_count: Tensor | None = None,
    capturing: Tensor | None = None,
    *,
    beta_activation: str = "none",
    chunk_size: int = 64,
    gate_activation: str = "none",
    gate_lower_bound: float = -5.0,
    qk_l2_norm: int = 0,
    scale: float = 0.0,
    state_update_capacity: int = 0,
    update_rule: str = "gated_delta",
) -> Tensors:
    """``LinearAttention`` of tokens [tokens, heads, size] (or [batch, length, heads, size]), and the last states.

    Sequences follow each other: of equal length, as many as there are past states, or from one of ``bounds`` to the
    next. Queries and keys of one head serve several values' heads; all three may be joined in the query. The states
    are [batch, heads, value size, key size]. The decay may be raw: -e^a_log softplus(decay + bias) ("softplus"), or
    lower_bound σ(e^a_log (decay + bias)) ("sigmoid"); so may β, whose sigmoid is then taken.
    """
    if state_update_capacity:
        raise UnsupportedOperatorError("GatedDeltaNet with captured updates serves speculative decoding only")
    q, k, v = _separate(query, key, value, past)
    batch = q.shape[0] if q.ndim == 4 else 1 if past is None else past.shape[0]
    q, k = (_normalised(x) if qk_l2_norm else x for x in (q, k))
    gates = None if decay is None else _decay(decay, a_log, dt_bias, gate_activation, gate_lower_bound, q.ndim)
    rates = torch.sigmoid(beta) if beta is not None and beta_activation == "sigmoid" else beta
    tokens = _Tokens(q, k, v, gates, None if rates is None else rates.unsqueeze(-1))
    flat = tokens.each(lambda x: x.to(q.dtype).reshape(-1, *x.shape[q.ndim - 2 :]))
    pieces = [flat.each(lambda x: torch.unflatten(x, 0, (batch, -1)))] if bounds is None else _ragged(flat, bounds)
    zeros = q.new_zeros(max(batch, len(pieces)), v.shape[-2], q.shape[-1], v.shape[-1])
    states = torch.split(zeros if past is None else past.mT, batch if bounds is None else 1)
    results = [piece.read(state, scale) for piece, state in zip(pieces, states, strict=True)]
    shape = (*q.shape[:-2], -1, v.shape[-1])
    return torch.cat([y.flatten(0, 1) for y, _ in results]).reshape(shape), torch.cat([s for _, s in results]).mT


def _ragged(tokens: _Tokens, bounds: Ints) -> list[_Tokens]:
    """Each sequence as a batch of its own."""
    return [tokens.each(partial(_rows, start=start, end=end)) for start, end in itertools.pairwise(bounds)]


def _rows(x: Tensor, *, start: int, end: int) -> Tensor:
    return x[start:end].unsqueeze(0)


def _separate(
    query: Tensor, key: Tensor | None, value: Tensor | None, past: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v as [tokens, heads, size]; where they are joined, the states tell heads and sizes."""
    if key is not None and value is not None:
        return query, key, value
    if past is None:
        raise ValueError("joined queries, keys and values need past states")
    _, heads, value_size, size = past.shape
    width = (query.shape[-1] - heads * value_size) // 2
    q, k, v = torch.split(query, [width, width, heads * value_size], -1)
    q, k = (torch.unflatten(x, -1, (-1, size)) for x in (q, k))
    return q, k, torch.unflatten(v, -1, (heads, -1))


def _normalised(x: Tensor) -> Tensor:
    return x * torch.rsqrt(torch.sum(x * x, -1, keepdim=True) + 1e-6)


def _decay(
    raw: Tensor, a_log: Tensor | None, bias: Tensor | None, activation: str, lower_bound: float, rank: int
) -> Tensor:
    """The decay's logarithm with a last axis of one number per head or key feature."""
    features = raw.unsqueeze(-1) if raw.ndim < rank else raw
    if activation == "none" or a_log is None:
        return features
    shifted = features if bias is None else features + bias.reshape(a_log.shape[0], -1)
    rate = torch.exp(a_log).unsqueeze(-1)
    if activation in ("sigmoid", "kda"):
        return lower_bound * torch.sigmoid(rate * shifted)
    return -rate * torch.logaddexp(shifted, torch.zeros_like(shifted))
