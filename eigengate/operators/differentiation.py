"""Directional derivatives by the best means the network's operators allow."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from eigengate.errors import ModelExecutionError, NotDifferentiableError
from eigengate.loading.autodiff import jvp, vjp
from eigengate.refused_allocation import let_refused_allocations_through

Function = Callable[[Tensor], Tensor]
Mode = Literal["forward", "double_backward"]
# What torch raises for a missing rule, itself or wrapped by the model.
MISSING_RULE = (RuntimeError, ModelExecutionError)


def derivative_mode(function: Function, primal: Float[Tensor, " columns"]) -> Mode:
    """``forward`` if every operator has a forward-mode rule, else ``double_backward``.

    Raises:
        NotDifferentiableError: neither way works.
    """
    for mode in ("forward", "double_backward"):
        try:
            push_forward(function, primal, torch.zeros_like(primal), mode=mode)
        except MISSING_RULE as error:
            let_refused_allocations_through(error)
            reason = error
        else:
            return mode
    raise NotDifferentiableError(
        f"no directional derivative: {str(reason).splitlines()[0][:300]}",
        hint="leave the quantities that need it out of `quantities`",
    ) from reason


def push_forward(function: Function, primal: Tensor, tangent: Tensor, *, mode: Mode) -> Tensor:
    """Df(p)·t; by double backward it is the derivative of u ↦ Df(p)ᵀu, which is linear, in direction t."""
    if mode == "forward":
        return jvp(function, primal, tangent)[1]
    value, pull = vjp(function, primal)
    _, push = vjp(pull, torch.zeros_like(value))
    return torch.as_tensor(push(tangent))


def columnwise(product: Function, X: Float[Tensor, "columns k"], *, at_once: int) -> Float[Tensor, "rows k"]:
    """The product applied to every column, ``at_once`` together under vmap, singly where an operator forbids vmap."""
    if X.shape[1] == 1:
        return product(X[:, 0]).unsqueeze(1)
    try:
        return torch.vmap(product, in_dims=1, out_dims=1, chunk_size=at_once)(X)
    except MISSING_RULE as error:
        let_refused_allocations_through(error)
        return torch.stack([product(column) for column in X.unbind(1)], dim=1)
