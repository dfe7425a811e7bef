"""Activations, normalisations and embeddings."""

from typing import Any

from tests.support.microsoft.arrays import Draws, int32, mask
from tests.support.microsoft.case import MicrosoftCase as Case


def activations() -> list[Case]:
    d = Draws("activations")
    x = 2 * d.real(2, 3, 4)
    return [
        Case("Gelu", "Gelu", (x,)),
        Case("BiasGelu", "BiasGelu", (x, d.real(4))),
        Case("FastGelu", "FastGelu", (x,)),
        Case("FastGelu of a biased input", "FastGelu", (x, d.real(4))),
        Case("QuickGelu", "QuickGelu", (x,)),
        Case("QuickGelu as SiLU", "QuickGelu", (x,), {"alpha": 1.0}),
        Case("ScaledSiLU", "ScaledSiLU", (x,), {"alpha": 0.7}),
        Case("ScaledSiLU with its scale as input", "ScaledSiLU", (x, d.scale()), {"alpha": 0.7}),
    ]


def normalizations() -> list[Case]:
    d = Draws("normalizations")
    x, gamma, beta = d.real(2, 3, 4), d.scale(4), d.real(4)
    moments = ("y", "mean", "inverse")
    old = {"domain": "", "opset": 14}
    return [
        Case("LayerNormalization before opset 17", "LayerNormalization", (x, gamma, beta), **old),
        Case("LayerNormalization of two axes", "LayerNormalization", (x, d.scale(3, 4)), {"axis": 1}, **old),
        Case("LayerNormalization with its moments", "LayerNormalization", (x, gamma, beta), outputs=moments, **old),
        Case("SimplifiedLayerNormalization", "SimplifiedLayerNormalization", (x, gamma), domain=""),
        Case(
            "SimplifiedLayerNormalization of two axes",
            "SimplifiedLayerNormalization",
            (x, d.scale(3, 4)),
            {"axis": -2, "epsilon": 0.1, "stash_type": 1},
            outputs=("y", "inverse"),
            domain="",
        ),
    ]


def residual_normalizations() -> list[Case]:
    d = Draws("residual normalizations")
    x, skip, gamma, beta, bias = d.real(2, 3, 4), d.real(2, 3, 4), d.scale(4), d.real(4), d.real(4)
    whole, outputs = (x, skip, gamma, beta, bias), ("y", "mean", "inverse", "sum")
    return [
        Case("SkipLayerNormalization", "SkipLayerNormalization", (x, skip, gamma, beta)),
        Case("SkipLayerNormalization with all", "SkipLayerNormalization", whole, outputs=outputs),
        Case("SkipLayerNormalization without shift", "SkipLayerNormalization", (x, skip, gamma, None, bias)),
        Case(
            "SkipLayerNormalization of one skip for all",
            "SkipLayerNormalization",
            (x, d.real(3, 4), gamma, beta),
            {"epsilon": 0.1},
            outputs=("y", "", "", "sum"),
        ),
        Case("SkipLayerNormalization of a batch of one skip", "SkipLayerNormalization", (x, d.real(1, 3, 4), gamma)),
        Case("SkipLayerNormalization of tokens", "SkipLayerNormalization", (d.real(3, 4), d.real(3, 4), gamma)),
        Case("SkipSimplified", "SkipSimplifiedLayerNormalization", (x, skip, gamma), {"epsilon": 0.1}),
        Case(
            "SkipSimplified with all",
            "SkipSimplifiedLayerNormalization",
            (x, d.real(1, 3, 4), gamma, bias),
            outputs=("y", "", "inverse", "sum"),
        ),
    ]


def gated_normalizations() -> list[Case]:
    d = Draws("gated normalizations")
    x, gate, scale = d.real(2, 3, 8), d.real(2, 3, 8), d.scale(4)
    return [
        Case("GatedRMSNorm", "GatedRMSNorm", (x, scale, gate)),
        Case("GatedRMSNorm by a sigmoid", "GatedRMSNorm", (x, scale, gate), {"activation": "sigmoid", "epsilon": 0.1}),
        Case("GatedRMSNorm of one head", "GatedRMSNorm", (x, d.scale(8), gate), {"activation": "swish"}),
        Case("BranchwiseRMSNorm", "BranchwiseRMSNorm", (d.real(3, 2, 4),)),
        Case("BranchwiseRMSNorm, scaled", "BranchwiseRMSNorm", (d.real(3, 2, 4), scale), {"epsilon": 0.1}),
        Case("BranchwiseRMSNorm, scaled by branch", "BranchwiseRMSNorm", (d.real(3, 2, 4), d.scale(2, 4))),
        Case("BranchwiseRMSNorm, flat", "BranchwiseRMSNorm", (x, d.scale(8)), {"num_branches": 2}),
        Case("BranchwiseRMSNorm, flat, scaled alike", "BranchwiseRMSNorm", (x, scale), {"num_branches": 2}),
    ]


def embeddings() -> list[Case]:
    d = Draws("embeddings")
    tokens, segments, seen = int32([1, 2, 0], [3, 1, 1]), mask("010", "110"), mask("110", "100")
    words, places, table, gamma, beta = d.real(5, 4), d.real(6, 4), d.real(2, 4), d.scale(4), d.real(4)
    tables = (words, places, table, gamma, beta)
    plain = (words, places, None, gamma, beta)
    each = int32([3, 4, 5], [0, 0, 1])
    return [
        _embedding("embedding", (tokens, segments, *tables)),
        _embedding("embedding with a mask and its sum", (tokens, segments, *tables, seen), "sum", epsilon=0.1),
        _embedding("embedding without segments", (tokens, None, *plain)),
        _embedding("embedding at given positions", (tokens, None, *plain, None, int32([3, 4, 5]))),
        _embedding("embedding at places of each", (tokens, segments, *tables, seen, each), "sum", mask_index_type=0),
    ]


def _embedding(name: str, operands: tuple[Any, ...], *more: str, **attributes: Any) -> Case:
    outputs = ("y", "mask_index", *more)
    return Case(name, "EmbedLayerNormalization", operands, attributes, outputs, integers=frozenset({"mask_index"}))


CASES = (*activations(), *normalizations(), *residual_normalizations(), *gated_normalizations(), *embeddings())
