"""Grouped-query attention, rotary embeddings and block-sparse attention."""

from typing import Any

import numpy as np

from tests.support.microsoft.arrays import Draws, int32, int64
from tests.support.microsoft.case import MicrosoftCase as Case

GROUPS = {"num_heads": 4, "kv_num_heads": 2}
PRESENT = ("y", "keys", "values")


def rotary() -> list[Case]:
    d = Draws("rotary")
    packed, split = d.real(2, 3, 8), d.real(2, 2, 3, 4)
    caches, narrow = (d.real(6, 2), d.real(6, 2)), (d.real(6, 1), d.real(6, 1))
    each, partial = int64([0, 1, 2], [3, 5, 4]), {"num_heads": 2, "rotary_embedding_dim": 2}
    name = "RotaryEmbedding"
    return [
        Case("rotation from a place on", name, (packed, int64(1), *caches)),
        Case("rotation at places", name, (packed, each, *caches), {"interleaved": 1, "scale": 2.0}),
        Case("rotation of heads", name, (split, each, *caches), {"num_heads": 2}),
        Case("rotation of heads from a place on", name, (split, int64(2), *caches), {"interleaved": 1}),
        Case("rotation of a part", name, (packed, int64(0), *narrow), partial),
        Case("rotation of a part of heads", name, (split, each, *narrow), {**partial, "interleaved": 1}),
        Case("rotation of a ragged batch", name, (packed, each, *caches), {"is_packed_batching": 1}),
    ]


def multimodal_rotary() -> list[Case]:
    d = Draws("multimodal rotary")
    packed, split = d.real(2, 3, 32), d.real(2, 2, 3, 16)
    caches = d.real(9, 8), d.real(9, 8)
    places = (np.arange(18).reshape(3, 2, 3) * 5 % 9).astype(np.int64)
    name = "MRotaryEmbedding"
    return [
        Case("three streams", name, (packed, places, *caches), {"mrope_section": [4, 2, 2], "num_heads": 2}),
        Case("three streams of heads", name, (split, places, *caches), {"mrope_section": [2, 3, 3], "interleaved": 1}),
        Case("three streams in turn", name, (split, places, *caches), {"mrope_section": [4, 2, 2], "mrope_layout": 1}),
        Case("three even streams", name, (split, places, *caches), {"mrope_section": [2, 3, 3], "mrope_layout": 1}),
        Case(
            "three streams of a part",
            name,
            (packed, places, d.real(9, 4), d.real(9, 4)),
            {"mrope_section": [2, 1, 1], "num_heads": 2, "rotary_embedding_dim": 8, "mrope_layout": 1},
        ),
    ]


def prompts() -> list[Case]:
    d = Draws("prompts")
    q, k, v = d.real(2, 5, 32), d.real(2, 5, 16), d.real(2, 5, 16)
    given = (q, k, v, None, None, int32(4, 4), np.int32(5))
    caches = d.real(10, 8), d.real(10, 8)
    wide = (d.real(2, 5, 64), d.real(2, 5, 32), d.real(2, 5, 32), *given[3:])
    wider = (d.real(2, 5, 128), d.real(2, 5, 64), d.real(2, 5, 64), *given[3:])
    return [
        _case("grouped prompt", given),
        _case("grouped prompt, scaled", given, scale=0.3, softcap=0.8),
        _case("grouped prompt, packed", (d.real(2, 5, 64), None, None, *given[3:])),
        _case("grouped prompt with a window", given, local_window_size=2),
        _case("grouped prompt with a wide window", given, local_window_size=7),
        _case("grouped prompt both ways", given, causal=0),
        _case("grouped prompt, smoothed", given, smooth_softmax=1),
        _case("grouped prompt with sinks", (*given, None, None, None, None, d.real(4))),
        _case("grouped prompt, biased", (*given, None, None, None, d.real(1, 4, 5, 5)), softcap=0.8),
        _case("grouped prompt, biased per sequence", (*given, None, None, None, d.real(2, 1, 5, 5))),
        _case("grouped prompt, scores shown", given, scores=1, qk_output=1, local_window_size=2),
        _case("grouped prompt, capped scores shown", given, scores=1, qk_output=1, softcap=0.8),
        _case("grouped prompt, biased scores shown", (*given, *[None] * 3, d.real(1, 4, 5, 5)), scores=1, qk_output=1),
        _case("grouped prompt, weights shown", given, scores=1, qk_output=2),
        _case("grouped prompt, turned", (*wide, *caches), do_rotary=1),
        _case("grouped prompt, partly turned", (*wider, *caches), do_rotary=1, rotary_interleaved=1),
        _case("grouped prompt, turned at places", (*wide, *caches, int64(range(5), range(2, 7))), do_rotary=1),
        _case(
            "grouped prompt, padded",
            (q, k, v, None, None, int32(2, 4), np.int32(5)),
            meaningful={"y": _rows(5, 3, 5), "keys": _slots(5, 3, 5), "values": _slots(5, 3, 5)},
        ),
    ]


def decoding() -> list[Case]:
    d = Draws("grouped decoding")
    q, k, v = d.real(2, 1, 64), d.real(2, 1, 32), d.real(2, 1, 32)
    past, buffers = (d.real(2, 2, 4, 16), d.real(2, 2, 4, 16)), (d.real(2, 2, 9, 16), d.real(2, 2, 9, 16))
    caches = d.real(10, 8), d.real(10, 8)
    ragged = {"keys": _slots(5, 3, 5), "values": _slots(5, 3, 5)}
    return [
        _case("grouped step", (q, k, v, *past, int32(4, 4), np.int32(5))),
        _case("grouped step, turned", (q, k, v, *past, int32(4, 4), np.int32(5), *caches), do_rotary=1),
        _case(
            "grouped step, turned at places",
            (q, k, v, *past, int32(4, 4), np.int32(5), *caches, int64([7], [2])),
            do_rotary=1,
        ),
        _case("grouped step, ragged", (q, k, v, *past, int32(2, 4), np.int32(5)), meaningful=ragged),
        _case(
            "grouped step over buffers",
            (q, k, v, *buffers, int32(2, 4), np.int32(5)),
            meaningful={"keys": _slots(9, 3, 5), "values": _slots(9, 3, 5)},
        ),
        _case("grouped step with a window", (q, k, v, *past, int32(4, 4), np.int32(5)), local_window_size=3),
    ]


def chunks() -> list[Case]:
    d = Draws("grouped chunks")
    chunk = (d.real(1, 3, 64), d.real(1, 3, 32), d.real(1, 3, 32), d.real(1, 2, 4, 16), d.real(1, 2, 4, 16))
    pair = (d.real(2, 3, 64), d.real(2, 3, 32), d.real(2, 3, 32), d.real(2, 2, 9, 16), d.real(2, 2, 9, 16))
    caches = d.real(10, 8), d.real(10, 8)
    return [
        _case("grouped chunk", (*chunk, int32(6), np.int32(7)), local_window_size=3),
        _case("grouped chunk, turned", (*chunk, int32(6), np.int32(7), *caches), do_rotary=1),
        _case(
            "grouped chunk, turned at places", (*chunk, int32(6), np.int32(7), *caches, int64([3, 1, 8])), do_rotary=1
        ),
        _case("grouped chunk, biased", (*chunk, int32(6), np.int32(7), None, None, None, d.real(1, 1, 3, 7))),
        _case(
            "grouped chunks with padding",
            (*pair, int32(5, 3), np.int32(7), *caches, *[None] * 7, int32(2, 3)),
            meaningful={"y": _rows(3, 2, 3), "keys": _slots(9, 6, 4), "values": _slots(9, 6, 4)},
            do_rotary=1,
        ),
    ]


def _case(name: str, operands: tuple[Any, ...], *, scores: int = 0, meaningful: Any = (), **attributes: Any) -> Case:
    outputs = (*PRESENT, *["scores"] * scores)
    return Case(name, "GroupQueryAttention", operands, GROUPS | attributes, outputs, meaningful=dict(meaningful))


def _rows(length: int, *valid: int) -> np.ndarray:
    """[batch, length], true for the first rows of every sequence."""
    return np.arange(length) < np.array(valid)[:, None]


def _slots(length: int, *valid: int) -> Any:
    """The same of a cache [batch, 2 heads, length, size]."""
    return np.repeat(_rows(length, *valid)[:, None], 2, 1)


CASES = (*rotary(), *multimodal_rotary(), *prompts(), *decoding(), *chunks())
