"""A fused kernel for plain gradients, the formula for everything else, and one function whichever runs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import hessian, jacrev, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from eigengate.loading.first_order import first_order

Function = Callable[..., Tensor]


class Counting:
    """x ↦ sin(x w), once as a kernel that cannot be differentiated twice and once from primitives, with counters."""

    def __init__(self) -> None:
        self.calls = {"fused": 0, "formula": 0}

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        return first_order(self.fused, self.formula, x, w)[0]

    def fused(self, x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        self.calls["fused"] += 1
        return (OnceDifferentiable.apply(x * w),)

    def formula(self, x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        self.calls["formula"] += 1
        return ((x * w).sin(),)


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, slope: Tensor) -> Tensor:
        return slope * ctx.saved_tensors[0].cos()


@pytest.fixture
def point() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(4, dtype=torch.float64, generator=generator) for _ in range(2))


def test_plain_calls_and_gradients_run_the_kernel(point: tuple[Tensor, Tensor]) -> None:
    function, (x, w) = Counting(), point
    with torch.no_grad():
        assert torch.equal(function(x, w), (x * w).sin())
    leaf = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x, leaf).sum(), leaf)
    torch.testing.assert_close(slope, x * (x * w).cos())
    assert function.calls == {"fused": 2, "formula": 0}


def test_a_backward_pass_can_be_repeated(point: tuple[Tensor, Tensor]) -> None:
    function, (x, w) = Counting(), point
    leaf = w.clone().requires_grad_()
    y = function(x, leaf)
    rows = [torch.autograd.grad(y[i], leaf, retain_graph=True)[0] for i in range(4)]
    torch.testing.assert_close(torch.stack(rows), torch.diag(x * (x * w).cos()))
    assert function.calls == {"fused": 1, "formula": 0}


def test_a_gradient_of_a_gradient_takes_the_formula(point: tuple[Tensor, Tensor]) -> None:
    function, (x, w) = Counting(), point
    leaf = w.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x, leaf).sum(), leaf, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), leaf)
    torch.testing.assert_close(curvature, -(x**2) * (x * w).sin())
    assert function.calls["formula"] == 1


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x, w: jvp(f, (x, w), (w, x))[1],
        lambda f, x, w: jacrev(f, 1)(x, w),
        lambda f, x, w: hessian(lambda v: f(x, v).sum())(w),
        lambda f, x, w: vmap(f)(torch.stack([x, w]), torch.stack([w, x])),
        lambda f, x, w: make_fx(f)(x, w)(x, w),
    ],
)
def test_every_transform_takes_the_formula(
    transform: Callable[[Function, Tensor, Tensor], Tensor], point: tuple[Tensor, Tensor]
) -> None:
    function = Counting()
    torch.testing.assert_close(transform(function, *point), transform(lambda x, w: (x * w).sin(), *point))
    assert function.calls["fused"] == 0


def test_dual_numbers_take_the_formula(point: tuple[Tensor, Tensor]) -> None:
    function, (x, w) = Counting(), point
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(x, torch.ones_like(x)), w)).tangent
        torch.testing.assert_close(tangent, w * (x * w).cos())
    assert function.calls["fused"] == 0
