"""Operators that only ``run_decompositions`` writes, and kernels it picks that have no second derivative."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.torchscript.rewrites import REWRITES

_ATTEND: Final = REWRITES["aten::scaled_dot_product_attention"]
_EMBED_BAG: Final = REWRITES["aten::embedding_bag"]


def _batch_norm(
    input: Tensor,
    *,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    eps: float,
    **_: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = input.new_zeros(0)
    return functional.batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps), nothing, nothing


def _batch_norm_of_the_batch(
    input: Tensor, *, weight: Tensor | None, bias: Tensor | None, eps: float, **_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = input.new_zeros(0)
    return functional.batch_norm(input, None, None, weight, bias, True, 0.0, eps), nothing, nothing


def _attention(outputs: int) -> Callable[..., tuple[Tensor | None, ...]]:
    """One of the fused kernels, which give further results that only its own backward pass needs."""

    def attend(query: Tensor, *, attn_bias: Tensor | None = None, **arguments: Any) -> tuple[Tensor | None, ...]:
        mask = arguments.pop("attn_mask", attn_bias)
        return _ATTEND(query, attn_mask=mask, **arguments), *(None,) * (outputs - 1)

    return attend


def _dropout(input: Tensor, *, p: float, train: bool | None = None) -> tuple[Tensor, Tensor]:
    if train is not False and p > 0:
        raise UnsupportedOperatorError("dropout draws random numbers in training", hint="Export in evaluation mode.")
    return input, torch.ones_like(input, dtype=torch.bool)


def _view(self: Tensor, *, size: Sequence[int]) -> Tensor:
    # Whether a view exists depends on the strides that a kernel gave its result; ours may give it others.
    return self.reshape(size)


def _safe_softmax(self: Tensor, *, dim: int, **_: Any) -> Tensor:
    """Softmax in which a row of nothing but −∞ gives zeros, with zero derivative instead of NaN."""
    empty = (self == -torch.inf).all(dim, keepdim=True)
    return torch.softmax(self.masked_fill(empty, 0.0), dim).masked_fill(empty, 0.0)


DECOMPOSED: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::_native_batch_norm_legit_no_training": _batch_norm,
    "aten::_native_batch_norm_legit.no_stats": _batch_norm_of_the_batch,
    "aten::copy": REWRITES["aten::copy_"],
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention(2),
    "aten::_scaled_dot_product_efficient_attention": _attention(4),
    "aten::_scaled_dot_product_flash_attention": _attention(9),
    "aten::_scaled_dot_product_cudnn_attention": _attention(9),
    "aten::_safe_softmax": _safe_softmax,
    "aten::view.default": _view,
    "aten::_unsafe_view": _view,
    "aten::native_dropout": _dropout,
    "aten::_embedding_bag_forward_only": _EMBED_BAG,
}
"""By operator, with overload where only that one is meant.

The first argument comes by position and the others by the names of the operator's schema.
"""
