"""Attention from matrix products and softmax: the fused kernels have no forward mode and no second derivative."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.errors import UnsupportedOperatorError


def attend(  # noqa: PLR0913 - the operator's own arguments
    query: Tensor,
    *,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    drop: Callable[[Tensor], Tensor] | None = None,
    **_: Any,
) -> Tensor:
    """softmax(scale · Q Kᵀ + mask) V with scale 1/√d unless given; True in a boolean mask means *may attend*.

    ``drop`` is what becomes of the softmax, which has no dropout of its own.
    """
    if dropout_p > 0:
        raise UnsupportedOperatorError("Attention dropout draws random numbers", hint="Export in evaluation mode.")
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is None:
        weights = torch.softmax(scores, -1)
    elif attn_mask.dtype != torch.bool:
        weights = _safe_softmax(scores + attn_mask)
    else:
        weights = _safe_softmax(scores.masked_fill(~attn_mask, -math.inf))
    return (weights if drop is None else drop(weights)) @ value


def _safe_softmax(scores: Tensor) -> Tensor:
    """Softmax in which a row of nothing but −∞ attends to nothing, with zero derivative instead of NaN."""
    empty = (scores == -math.inf).all(-1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)


def _with_bookkeeping(results: int, mask: str = "attn_mask") -> Callable[..., tuple[Tensor | None, ...]]:
    """A fused kernel's attention, followed by what only its own backward pass asks for."""

    def run(query: Tensor, **arguments: Any) -> tuple[Tensor | None, ...]:
        given = arguments.pop(mask, None)
        return (attend(query, attn_mask=given, **arguments), *[None] * (results - 1))

    return run


def _forbidden(mask: Tensor | None, mask_type: int | None) -> Tensor | None:
    """The mask of the fused encoder, broadcast over heads: True (or −∞) where attention is forbidden."""
    if mask is None:
        return None
    # Type 0 masks pairs of positions, type 1 pads whole positions per sample, type 2 is already expanded.
    return mask[:, None, None, :] if mask_type == 1 else mask


def _native_attention(  # noqa: PLR0913 - the operator's own arguments
    query: Tensor,
    *,
    key: Tensor,
    value: Tensor,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor | None]:
    weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
    projected = [functional.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]
    q, k, v = (x.reshape(*x.shape[:-1], num_head, -1).transpose(-3, -2) for x in projected)
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    forbidden = _forbidden(mask, mask_type)
    if forbidden is not None:
        is_flag = forbidden.dtype == torch.bool
        scores = scores.masked_fill(forbidden, -math.inf) if is_flag else scores + forbidden
    attention = torch.softmax(scores, -1) if forbidden is None else _safe_softmax(scores)
    out = functional.linear((attention @ v).transpose(-3, -2).flatten(-2), proj_weight, proj_bias)
    if not need_weights:
        return out, None
    return out, attention.mean(-3) if average_attn_weights else attention


def encoder_layer(  # noqa: PLR0913 - the operator's own arguments
    src: Tensor,
    *,
    embed_dim: int,
    num_heads: int,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    **attention: Any,
) -> Tensor:
    """The layer of ``nn.TransformerEncoderLayer`` that PyTorch fuses for inference."""

    def attend(x: Tensor) -> Tensor:
        return _native_attention(x, key=x, value=x, num_head=num_heads, need_weights=False, **attention)[0]

    def feed(x: Tensor) -> Tensor:
        hidden = functional.linear(x, ffn_weight_1, ffn_bias_1)
        hidden = functional.gelu(hidden) if use_gelu else functional.relu(hidden)
        return functional.linear(hidden, ffn_weight_2, ffn_bias_2)

    def norm1(x: Tensor) -> Tensor:
        return functional.layer_norm(x, (embed_dim,), norm_weight_1, norm_bias_1, eps)

    def norm2(x: Tensor) -> Tensor:
        return functional.layer_norm(x, (embed_dim,), norm_weight_2, norm_bias_2, eps)

    if norm_first:
        src = src + attend(norm1(src))
        return src + feed(norm2(src))
    src = norm1(src + attend(src))
    return norm2(src + feed(src))


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::scaled_dot_product_attention": attend,
    "aten::_scaled_dot_product_attention_math": _with_bookkeeping(2),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _with_bookkeeping(2),
    "aten::_scaled_dot_product_efficient_attention": _with_bookkeeping(4, mask="attn_bias"),
    "aten::_scaled_dot_product_flash_attention": _with_bookkeeping(9),
    "aten::_scaled_dot_product_cudnn_attention": _with_bookkeeping(9, mask="attn_bias"),
    "aten::_native_multi_head_attention": _native_attention,
}
