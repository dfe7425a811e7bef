"""A fused kernel where only first derivatives are taken, a formula of primitives where more is asked.

Fused kernels of recurrent layers have a backward pass but no second derivative, no forward mode and no batching rule.
Plain training steps and forward passes need none of these; every transform of ``torch.func`` and every recorded graph
gets the formula. Both compute the same function, up to rounding.
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

Tensors = tuple[Tensor, ...]
Formula = Callable[..., Tensors]


def first_order(fused: Formula, formula: Formula, *operands: Tensor) -> Tensors:
    """``formula(*operands)``, computed by ``fused(*operands)`` while nothing but a gradient is taken of it.

    Args:
        fused: The kernel; differentiable once, by reverse mode.
        formula: The same function from primitives.
        operands: All tensors the result depends on.
    """
    if is_transformed():
        return formula(*operands)
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in operands)):
        return fused(*operands)
    result: Tensors = _FirstOrder.apply(fused, formula, *operands)  # type: ignore[no-untyped-call]
    return result


def is_transformed() -> bool:
    """Whether a transform, a dual number's level or a recording is active."""
    functional = torch._C._functorch.peek_interpreter_stack() is not None
    return functional or forward_ad._current_level >= 0 or is_in_torch_dispatch_mode()


@final
class _FirstOrder(torch.autograd.Function):
    """Keeps the kernel's own graph for its backward pass, and takes the formula's where that pass is differentiated."""

    @staticmethod
    def forward(ctx: Any, fused: Formula, formula: Formula, *operands: Tensor) -> Tensors:
        with torch.enable_grad():
            leaves = tuple(x.detach().requires_grad_(x.requires_grad) for x in operands)
            results = fused(*leaves)
        ctx.formula, ctx.leaves, ctx.results = formula, leaves, results
        ctx.save_for_backward(*operands)
        return tuple(y.detach() for y in results)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        twice = torch.is_grad_enabled()
        operands = ctx.saved_tensors if twice else ctx.leaves
        results = ctx.formula(*operands) if twice else ctx.results
        wanted = [x for x in operands if x.requires_grad]
        found = torch.autograd.grad(results, wanted, slopes, create_graph=twice, retain_graph=True, allow_unused=True)
        left = iter(found)
        return (None, None, *(next(left) if x.requires_grad else None for x in operands))
