"""Attention: packed and unpacked, masked in every way, with and without a past."""

from typing import Any

import numpy as np

from tests.support.microsoft.arrays import Draws, int32, mask
from tests.support.microsoft.case import MicrosoftCase as Case

HEADS = {"num_heads": 2}
PRESENT = ("y", "keys", "values")
# Two sequences of three tokens; the first is shorter, or starts later.
MASKS: dict[str, np.ndarray] = {
    "lengths": int32(2, 3),
    "ends and starts": int32(3, 2, 1, 0),
    "lengths and offsets": int32(2, 3, 0, 3, 6, 0, 3, 6),
    "a row each": mask("110", "011"),
    "a matrix each": np.stack([mask("100", "110", "011"), mask("111", "010", "101")]),
    "nothing to see": mask("000", "111"),
}


def self_attention() -> list[Case]:
    d = Draws("self-attention")
    x, weights, bias = d.real(2, 3, 6), d.real(6, 24), d.real(24)
    past = d.real(2, 2, 2, 2, 4)
    given = (x, weights, bias)
    both = ("y", "present")
    return [
        Case("attention", "Attention", given, HEADS),
        Case("attention without bias", "Attention", (x, weights), {**HEADS, "scale": 0.3}),
        Case("attention of unequal parts", "Attention", (x, d.real(6, 16), d.real(16)), _parts(4, 4, 8)),
        Case("attention, causal", "Attention", given, {**HEADS, "unidirectional": 1}, outputs=both),
        Case("attention with a past", "Attention", (*given, None, past), HEADS, outputs=both),
        Case(
            "attention, causal with past and mask",
            "Attention",
            (*given, mask("01111", "11110"), past),
            {**HEADS, "unidirectional": 1, "mask_filter_value": -50.0},
            outputs=both,
        ),
        Case("attention with one bias for all", "Attention", (*given, None, None, d.real(1, 1, 3, 3)), HEADS),
        Case("attention with a bias per sequence", "Attention", (*given, None, None, d.real(2, 1, 3, 3)), HEADS),
        Case("attention with a bias per head", "Attention", (*given, None, None, d.real(1, 2, 3, 3)), HEADS),
        *(
            Case(f"attention masked by {form}{', causal' * way}", "Attention", (*given, shown), _one_way(way))
            for form, shown in MASKS.items()
            for way in (0, 1)
        ),
    ]


def cross_attention() -> list[Case]:
    d = Draws("cross-attention")
    q, k, v = d.real(2, 3, 8), d.real(2, 5, 8), d.real(2, 5, 6)
    cache = d.real(2, 2, 5, 4), d.real(2, 2, 5, 4)
    name = "MultiHeadAttention"
    return [
        Case("cross-attention", name, (q, k, v), HEADS, outputs=(*PRESENT, "scores")),
        Case("cross-attention with biases", name, (q, k, v, d.real(22)), {**HEADS, "scale": 0.3}),
        Case("cross-attention to a cache", name, (q, *cache), HEADS, outputs=PRESENT),
        Case("cross-attention to a cache, biased", name, (q, *cache, d.real(24)), HEADS),
        Case("cross-attention with a bias for all", name, (q, k, v, None, None, d.real(1, 1, 3, 5)), HEADS),
    ]


def multi_head_attention() -> list[Case]:
    d = Draws("multi-head attention")
    q, k, v, biases = d.real(2, 3, 8), d.real(2, 3, 8), d.real(2, 3, 8), d.real(24)
    past_k, past_v = d.real(2, 2, 2, 4), d.real(2, 2, 2, 4)
    name = "MultiHeadAttention"
    past = (None, past_k, past_v)
    buffers = (None, d.real(2, 2, 6, 4), d.real(2, 2, 6, 4), int32(2))
    return [
        Case("multi-head attention", name, (q, k, v, biases), {**HEADS, "unidirectional": 1}),
        Case("multi-head attention with a past", name, (q, k, v, None, None, *past), HEADS, outputs=PRESENT),
        Case(
            "multi-head attention with everything",
            name,
            (q, k, v, biases, mask("01111", "11110"), d.real(1, 2, 3, 5), past_k, past_v),
            {**HEADS, "unidirectional": 1, "mask_filter_value": -50.0},
            outputs=(*PRESENT, "scores"),
        ),
        Case(
            "multi-head attention over buffers",
            name,
            (q[:, :1], k[:, :1], v[:, :1], None, None, *buffers),
            HEADS,
            outputs=PRESENT,
        ),
        # Without the outputs of keys and values onnxruntime 1.32 does not look at past ones.
        Case("lengths and a past", name, (q, k, v, None, int32(2, 4), *past), HEADS, outputs=PRESENT),
    ]


def masked_attention() -> list[Case]:
    d = Draws("masked attention")
    name, operands = "MultiHeadAttention", (d.real(2, 3, 8), d.real(2, 3, 8), d.real(2, 3, 8), None)
    return [
        Case(f"multi-head attention masked by {form}{', causal' * way}", name, (*operands, shown), _one_way(way))
        for form, shown in MASKS.items()
        if form != "ends and starts"
        for way in (0, 1)
    ]


def decoder_attention() -> list[Case]:
    d = Draws("decoder attention")
    q, k, v = d.real(2, 1, 8), d.real(2, 1, 8), d.real(2, 1, 8)
    cache = (d.real(2, 2, 5, 4), d.real(2, 2, 5, 4))
    buffers = (d.real(2, 2, 6, 4), d.real(2, 2, 6, 4), int32(2))
    name, shared = "DecoderMaskedMultiHeadAttention", {**HEADS, "past_present_share_buffer": 1}
    shown = ("y", "keys", "values", "scores")
    rest = (None, None, d.real(24))
    return [
        Case("decoding", name, (q, k, v, None, None, *buffers), shared, outputs=shown[:3]),
        Case(
            "decoding with everything",
            name,
            (q, k, v, mask("011", "110"), d.real(1, 2, 1, 3), *buffers, *rest),
            {**shared, "mask_filter_value": -50.0, "scale": 0.3, "output_qk": 1},
            outputs=shown,
        ),
        Case("decoding against a cache", name, (q, *cache), HEADS),
        Case(
            "decoding against a cache with everything",
            name,
            (q, *cache, mask("01111", "11110"), None, None, None, None, *rest),
            {**HEADS, "output_qk": 1},
            outputs=("y", "", "", "scores"),
        ),
    ]


def _parts(*sizes: int) -> dict[str, Any]:
    return {**HEADS, "qkv_hidden_sizes": list(sizes)}


def _one_way(way: int) -> dict[str, Any]:
    return {**HEADS, "unidirectional": way}


CASES = (
    *self_attention(),
    *cross_attention(),
    *multi_head_attention(),
    *masked_attention(),
    *decoder_attention(),
)
