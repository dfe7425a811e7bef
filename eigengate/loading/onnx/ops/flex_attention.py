"""Attention whose scores and weights subgraphs may change."""

import math

import torch
from torch import Tensor

from eigengate.loading.onnx.ops.softmax import softmax
from eigengate.loading.onnx.registry import Body, operator


@operator("FlexAttention", domain="ai.onnx.preview")
def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    prob_mod: Body | None = None,
    scale: float | None = None,
    score_mod: Body | None = None,
    softmax_precision: torch.dtype | None = None,
) -> Tensor:
    """prob_mod(softmax(score_mod(scale Q Kᵀ))) V, scale being 1 / √(head size) unless given.

    Operands are [batch, heads, length, head size]; several query heads may share one of keys and values. The subgraphs
    map [batch, heads, queries, keys] to the same shape, in the type in which softmax and second product are computed:
    ``softmax_precision``, or else that of the operands but at least float32.
    """
    groups = query.shape[1] // key.shape[1]
    keys, values = (x if groups == 1 else x.repeat_interleave(groups, 1) for x in (key, value))
    root = query.new_full((), math.sqrt(scale) if scale is not None else query.shape[-1] ** -0.25)
    precision = softmax_precision or torch.promote_types(query.dtype, torch.float32)
    scores = ((query * root) @ (keys * root).mT).to(precision)
    if score_mod is not None:
        (scores,) = score_mod(scores)
    weights: Tensor = softmax(scores)
    if prob_mod is not None:
        (weights,) = prob_mod(weights)
    return (weights @ values.to(weights.dtype)).to(value.dtype)
