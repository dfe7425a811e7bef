"""Embeddings looked up, added and normalised in one node; biases made of relative positions."""

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import GIVEN, MICROSOFT
from eigengate.loading.onnx.ops.indexing import gather
from eigengate.loading.onnx.ops.normalization import layer_normalization
from eigengate.loading.onnx.registry import Tensors, operator


@operator("EmbedLayerNormalization", domain=MICROSOFT)
def normalized_embedding(
    tokens: Tensor,
    segments: Tensor | None = None,
    words: Tensor = GIVEN,
    places: Tensor = GIVEN,
    segment_table: Tensor | None = None,
    gamma: Tensor = GIVEN,
    beta: Tensor = GIVEN,
    mask: Tensor | None = None,
    positions: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 0,
) -> Tensors:
    """Layer normalisation of e = words[tokens] + places[positions] + segment_table[segments], as [batch, length, size].

    Positions count from zero where they are not given, and are the batch's or each sequence's own. The second output
    is how many ones each row of ``mask`` has (zero without a mask), the third is e.
    """
    batch, length = tokens.shape
    where = torch.arange(length, device=tokens.device).unsqueeze(0) if positions is None else positions
    total = gather(words, tokens) + gather(places, where)
    if segments is not None and segment_table is not None:
        total = total + gather(segment_table, segments)
    seen = torch.zeros(batch, length, device=tokens.device, dtype=torch.bool) if mask is None else mask == 1
    y: Tensor = layer_normalization(total, gamma, beta, epsilon=epsilon, outputs=1)[0]
    return y, torch.sum(seen, 1, dtype=torch.int32), total


@operator("GatedRelativePositionBias", domain=MICROSOFT)
def gated_relative_position_bias(
    query: Tensor,
    query_bias: Tensor,
    relative: Tensor,
    weight: Tensor,
    bias: Tensor,
    constant: Tensor,
    token_offset: Tensor | None = None,
    *,
    num_heads: int,
) -> Tensor:
    """(u (r · constant - 1) + 2) · relative: WavLM's bias [batch, heads, length, length], gated by the queries.

    Queries are [batch, length, heads * size]; per head and query, u and r are the sigmoids of the sums of the two
    halves of (query + query_bias) W + bias. ``relative`` is [1, heads, length, length], the constant one per head.
    """
    if token_offset is not None:
        raise UnsupportedOperatorError("GatedRelativePositionBias of packed sequences is known on GPUs only")
    heads = torch.unflatten(query + query_bias, -1, (num_heads, -1)).transpose(1, 2)
    sums = torch.sum(torch.unflatten(heads @ weight + bias, -1, (2, -1)), -1)
    update, reset = torch.split(torch.sigmoid(sums), 1, -1)
    return (update * (reset * constant - 1.0) + 2.0) * relative
