"""``torch.func.jvp`` and ``vjp`` of one primal, typed."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor


def jvp(function: Callable[[Any], Tensor], primal: Any, tangent: Any) -> tuple[Tensor, Tensor]:
    """f(p) and Df(p)·t, by forward mode."""
    return cast(tuple[Tensor, Tensor], torch.func.jvp(function, (primal,), (tangent,)))


def vjp(function: Callable[[Any], Any], primal: Any) -> tuple[Any, Callable[[Any], Any]]:
    """f(p) and the pull-back u ↦ Df(p)ᵀ·u, by reverse mode."""
    value, pull = torch.func.vjp(function, primal)  # type: ignore[misc]  # the stub also covers has_aux=True
    return value, lambda cotangent: pull(cotangent)[0]
