"""Every kind of derivative of a program of few nodes, each against another way to it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import jvp, vjp, vmap

from eigengate.loading.onnx import OnnxProgram

Function = Callable[..., tuple[Tensor, ...]]


def check_every_derivative(program: OnnxProgram, inputs: Sequence[Tensor]) -> None:
    """In float64: finite differences of first and second order, forward mode = reverse mode, ``vmap`` = a loop.

    Differentiated are all floating inputs; looked at are all floating outputs that depend on them.

    Args:
        program: Deterministic, and twice differentiable at the inputs and near them.
        inputs: One tensor per input, in any floating type.
    """
    doubled = program.to(dtype=torch.float64)
    values = [x.double() if x.is_floating_point() else x for x in inputs]
    places = [place for place, x in enumerate(values) if x.is_floating_point() and x.numel()]
    primals = tuple(values[place] for place in places)
    function = _function(doubled, values, places)
    assert function(*primals), "no floating output depends on a floating input"
    check_finite_differences(function, primals)
    check_forward_mode(function, primals)
    check_batching(function, primals)


def check_finite_differences(function: Function, primals: tuple[Tensor, ...]) -> None:
    """Jacobian and Hessian products, in reverse and in forward mode, against central differences."""
    leaves = tuple(x.clone().requires_grad_() for x in primals)
    # Central differences at torch's step of 1e-6 in float64 are right to about 1e-9, times what the curvature makes.
    gradcheck(function, leaves, fast_mode=True, check_forward_ad=True, atol=1e-5, rtol=1e-3)
    gradgradcheck(function, leaves, fast_mode=True, check_fwd_over_rev=True, atol=1e-5, rtol=1e-3)


def check_forward_mode(function: Function, primals: tuple[Tensor, ...]) -> None:
    """⟨u, Jv⟩ = ⟨Jᵀu, v⟩, and forward over reverse = reverse over reverse: only rounding of float64 apart."""
    generator = torch.Generator().manual_seed(0)
    v = _directions(primals, generator)
    u = _directions(function(*primals), generator)
    pushed, pulled = jvp(function, primals, v)[1], vjp(function, *primals)[1](u)
    torch.testing.assert_close(_inner(u, pushed), _inner(pulled, v), rtol=1e-8, atol=1e-8)
    slope = _slope(function, u)
    mixed, reverse = jvp(slope, primals, v)[1], vjp(slope, *primals)[1](v)
    for one, other in zip(mixed, reverse, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


def check_batching(function: Function, primals: tuple[Tensor, ...]) -> None:
    """The function and its gradient on two inputs at once, against one after the other."""
    generator = torch.Generator().manual_seed(1)
    nearby = tuple(x + 1e-3 * step for x, step in zip(primals, _directions(primals, generator), strict=True))
    u = _directions(function(*primals), generator)
    stacked = tuple(torch.stack(pair) for pair in zip(primals, nearby, strict=True))
    for computed in (function, _slope(function, u)):
        singles = zip(computed(*primals), computed(*nearby), strict=True)
        # The same sums in another order: rounding of float64.
        for batched, pair in zip(vmap(computed)(*stacked), singles, strict=True):
            torch.testing.assert_close(batched, torch.stack(pair), rtol=1e-9, atol=1e-9)


def _function(program: OnnxProgram, values: Sequence[Tensor], places: Sequence[int]) -> Function:
    def outputs(*given: Tensor) -> tuple[Tensor, ...]:
        replaced = dict(zip(places, given, strict=True))
        return program(program.parameters, *(replaced.get(place, x) for place, x in enumerate(values)))

    leaves = [values[place].clone().requires_grad_() for place in places]
    varying = [k for k, y in enumerate(outputs(*leaves)) if y.is_floating_point() and y.requires_grad]

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        results = outputs(*given)
        return tuple(results[k] for k in varying)

    return function


def _slope(function: Function, u: tuple[Tensor, ...]) -> Function:
    def slope(*values: Tensor) -> tuple[Tensor, ...]:
        pulled: tuple[Tensor, ...] = vjp(function, *values)[1](u)
        return pulled

    return slope


def _directions(like: Sequence[Tensor], generator: torch.Generator) -> tuple[Tensor, ...]:
    return tuple(torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in like)


def _inner(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()
