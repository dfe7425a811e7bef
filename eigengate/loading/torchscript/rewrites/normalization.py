"""Normalisations that would update running statistics, and weight normalisation."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional


def _batch_norm(
    input: Tensor,
    *,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    eps: float,
    **_: Any,
) -> Tensor:
    if training:
        # The batch's own statistics decide the result; updating the running ones would change the network.
        running_mean = running_var = None
    return functional.batch_norm(input, running_mean, running_var, weight, bias, training, 0.0, eps)


def _instance_norm(
    input: Tensor,
    *,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    eps: float,
    **_: Any,
) -> Tensor:
    if use_input_stats:
        running_mean = running_var = None
    return functional.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, 0.0, eps)


def _weight_norm(v: Tensor, *, g: Tensor, dim: int = 0) -> Tensor:
    """w = g v / ‖v‖ with the norm over every dimension but ``dim`` (−1: over all of them)."""
    dims = [d for d in range(v.dim()) if dim == -1 or d != dim % v.dim()]
    norm: Tensor = torch.linalg.vector_norm(v, dim=dims, keepdim=True)
    return v * (g / norm)


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::batch_norm": _batch_norm,
    "aten::instance_norm": _instance_norm,
    "aten::_weight_norm": _weight_norm,
}
