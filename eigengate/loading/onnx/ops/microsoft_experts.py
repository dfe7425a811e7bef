"""Mixtures of experts, dense: every expert computes every token, so that no value decides which code runs."""

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops._microsoft import GIVEN, MICROSOFT
from eigengate.loading.onnx.ops.activations import gelu
from eigengate.loading.onnx.registry import Tensors, operator


@operator("MoE", domain=MICROSOFT)
def mixture_of_experts(
    x: Tensor,
    logits: Tensor,
    inner: Tensor,
    inner_bias: Tensor | None = None,
    outer: Tensor = GIVEN,
    outer_bias: Tensor | None = None,
    gate: Tensor | None = None,
    gate_bias: Tensor | None = None,
    *,
    activation_alpha: float = 1.0,
    activation_beta: float = 0.0,
    activation_type: str = "relu",
    k: int = 1,
    normalize_routing_weights: int = 0,
    swiglu_fusion: int = 0,
    swiglu_limit: float | None = None,
    swiglu_limit_after_activation: int = 0,
    use_sparse_mixer: int = 0,
) -> Tensor:
    """Σ wₑ (φ(x Aₑᵀ + aₑ) Bₑᵀ + bₑ) over the ``k`` experts e with the largest logits.

    The weights are the softmax of all logits at those experts, made to add up to one if ``normalize_routing_weights``
    says so. A is [experts, inner, size], B [experts, size, inner]. φ is relu, gelu (by tanh), silu, identity, or
    swiglu, where inner features come in pairs of a gate g and a linear l: G σ(alpha G) (L + beta) of both clamped at
    the limit.
    """
    if gate is not None or use_sparse_mixer or swiglu_limit_after_activation or swiglu_fusion == 2:
        raise UnsupportedOperatorError("this form of MoE is not known on the CPU")
    tokens = x.reshape(-1, x.shape[-1])
    features = torch.einsum("th,eih->tei", tokens, inner)
    features = features if inner_bias is None else features + inner_bias
    limits = (activation_alpha, activation_beta, swiglu_limit)
    active = _swiglu(features, *limits) if activation_type == "swiglu" else _activated(features, activation_type)
    results = torch.einsum("tei,ehi->teh", active, outer)
    results = results if outer_bias is None else results + outer_bias
    weights = _routing_weights(logits.reshape(tokens.shape[0], -1), k, bool(normalize_routing_weights))
    return torch.einsum("te,teh->th", weights, results).reshape(x.shape)


def _routing_weights(logits: Tensor, count: int, normalised: bool) -> Tensor:
    """[tokens, experts], zero but for the chosen experts."""
    weights = torch.softmax(logits, -1) * _chosen(logits, count)
    return weights / torch.sum(weights, -1, keepdim=True) if normalised else weights


def _chosen(scores: Tensor, count: int) -> Tensor:
    """One at the ``count`` largest scores of every row, zero elsewhere."""
    best = torch.topk(scores, count, -1).indices
    return torch.scatter(torch.zeros_like(scores), -1, best, 1.0)


def _activated(x: Tensor, name: str) -> Tensor:
    match name:
        case "relu":
            return torch.relu(x)
        case "gelu":
            result: Tensor = gelu(x, approximate="tanh")
            return result
        case "silu":
            return x * torch.sigmoid(x)
        case "identity":
            return x
        case _:
            raise UnsupportedOperatorError(f"MoE's activation '{name}' is not known on the CPU")


def _swiglu(x: Tensor, alpha: float, beta: float, limit: float | None) -> Tensor:
    gate, linear = x[..., 0::2], x[..., 1::2]
    if limit is not None:
        gate, linear = torch.clamp(gate, max=limit), torch.clamp(linear, -limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (linear + beta)


@operator("MoEGroupRouter", domain=MICROSOFT)
def grouped_router(
    logits: Tensor,
    bias: Tensor,
    projection: Tensor | None = None,
    *,
    group_topk: int = 2,
    n_group: int = 1,
    router_sentinel: float = -10000.0,
    top_k: int,
    topk_group: int = 1,
) -> Tensors:
    """log σ(logits) at the chosen experts and the sentinel elsewhere; σ + bias and σ of all experts.

    Of ``n_group`` equal groups of experts, the ``topk_group`` count whose best ``group_topk`` values of σ + bias have
    the largest sum; of their experts, the ``top_k`` with the largest σ + bias are chosen. With a projection the first
    operand is tokens [tokens, width] and the logits are their products with its rows.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    weights = torch.sigmoid(rows if projection is None else rows @ projection.mT)
    ranks = weights + bias
    grouped = torch.unflatten(ranks, -1, (n_group, -1))
    best = torch.topk(grouped, min(group_topk, grouped.shape[-1]), -1).values
    open_groups = _chosen(torch.sum(best, -1), topk_group).unsqueeze(-1) > 0
    eligible = torch.where(open_groups, grouped, torch.finfo(grouped.dtype).min).flatten(-2)
    chosen = _chosen(eligible, top_k) > 0
    routed = torch.where(chosen, torch.log(torch.clamp(weights, min=1e-20)), router_sentinel)
    return routed, ranks, weights
