"""Rotary position embeddings as ONNX Runtime has them: positions always given, caches of whole sequences."""

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops.attention import rotary_embedding
from eigengate.loading.onnx.registry import Ints, operator


@operator("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding_at(
    x: Tensor,
    positions: Tensor,
    cosines: Tensor,
    sines: Tensor,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Tensor:
    """The standard's ``RotaryEmbedding`` with the caches' rows taken by position, the input's second operand.

    One number is the position of the first token; otherwise positions are [batch, length]. Without ``num_heads`` a
    packed input has heads of twice the caches' width. ``scale`` has no effect, and ``is_packed_batching`` only lifts
    a limit on the length.
    """
    batch, length = x.shape[0], x.shape[-2]
    steps = torch.arange(length, device=x.device)
    where = positions + steps if positions.numel() == 1 else positions
    heads = num_heads or (x.shape[-1] // (2 * cosines.shape[-1]) if x.ndim == 3 else 0)
    options = {"interleaved": interleaved, "num_heads": heads, "rotary_embedding_dim": rotary_embedding_dim}
    result: Tensor = rotary_embedding(x, cosines, sines, where.reshape(-1, length).expand(batch, length), **options)
    return result


@operator("MRotaryEmbedding", domain=MICROSOFT)
def multimodal_rotary_embedding(
    x: Tensor,
    positions: Tensor,
    cosines: Tensor,
    sines: Tensor,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    mrope_layout: int = 0,
    mrope_section: Ints,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Tensor:
    """Rotary embedding whose angles come from three positions per token: time, height and width, [3, batch, length].

    ``mrope_section`` says how many of the caches' columns each stream has: one stream after the other (layout 0), or
    the three in turn as far as height and width reach, the rest being time's (layout 1).
    """
    streams = _interleaved_streams(mrope_section) if mrope_layout else _successive_streams(mrope_section)
    chosen, columns = torch.tensor(streams, device=x.device), torch.arange(len(streams), device=x.device)
    # [width / 2, batch, length], one stream of positions for each column
    where = positions[chosen]
    cos, sin = (cache[where, columns.reshape(-1, 1, 1)].permute(1, 2, 0) for cache in (cosines, sines))
    options = {"interleaved": interleaved, "num_heads": num_heads, "rotary_embedding_dim": rotary_embedding_dim}
    result: Tensor = rotary_embedding(x, cos, sin, **options)
    return result


def _successive_streams(section: Ints) -> list[int]:
    return [stream for stream, size in enumerate(section) for _ in range(size)]


def _interleaved_streams(section: Ints) -> list[int]:
    turns = range(sum(section))
    return [column % 3 if column < 3 * section[column % 3] else 0 for column in turns]
