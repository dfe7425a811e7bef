"""Linear attention: a state per head that every token decays, corrects, writes to and reads."""

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Tensors, operator


@operator("LinearAttention", since=27)
def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> Tensors:
    """o = scale Sᵀ q for every token after S ← eᵍ S + k ⊗ v, and the last state S [batch, heads, key size, value size].

    Under the rules "delta" and "gated_delta" β (v - Sᵀ k) stands in v's place, S being decayed already; "linear" and
    "delta" have no decay g. Operands are [batch, length, heads * size]; g is per head or per feature of the keys, β per
    head or one for all. Several query heads may share a state. Scale 0 means 1 / √(key size). It is computed in float32
    or wider; ``chunk_size`` is a hint without effect.
    """
    working = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(working), key.to(working), value.to(working)
    q = _split(q, kv_num_heads, q_num_heads // kv_num_heads, -1)
    k, v = _split(k, kv_num_heads, -1), _split(v, kv_num_heads, -1)
    kept = None if decay is None else _split(torch.exp(decay.to(working)), kv_num_heads, -1)
    rate = None if beta is None else beta.to(working).unsqueeze(-1)
    state = q.new_zeros(k.shape[0], *k.shape[2:], v.shape[-1]) if past_state is None else past_state.to(working)
    outputs, last = _recurrence(q * (scale or k.shape[-1] ** -0.5), k, v, kept, rate, state)
    return outputs.flatten(2).to(query.dtype), last.to(query.dtype if past_state is None else past_state.dtype)


def _split(x: Tensor, *sizes: int) -> Tensor:
    """The last axis of [batch, length, width] as several."""
    return x.reshape(*x.shape[:2], *sizes)


def _recurrence(
    q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, rate: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """What every token reads, and the last state.

    k, v, ``kept`` and ``rate`` are [batch, length, heads, size], q [batch, length, heads, queries, size].
    """
    outputs = []
    for step in range(q.shape[1]):
        now, written = k[:, step].unsqueeze(-1), v[:, step].unsqueeze(-2)
        if kept is not None:
            state = kept[:, step].unsqueeze(-1) * state
        if rate is not None:
            written = rate[:, step].unsqueeze(-1) * (written - now.mT @ state)
        state = torch.addcmul(state, now, written)
        outputs.append(q[:, step] @ state)
    return torch.stack(outputs, 1), state
