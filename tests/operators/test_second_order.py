"""Substitutes have the values, gradients and second derivatives of what they stand for."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from eigengate.operators import HessianOperator
from eigengate.operators.second_order import SecondOrder
from tests.support.subjects import subject_of

GENERATOR = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def positive(*shape):
    return draw(*shape).square() + 0.5


x1, x2, x3, bias = draw(2, 4, 9), draw(2, 4, 6, 5), draw(2, 4, 3, 4, 3), draw(6)
mean, variance, scale, shift = draw(4), positive(4), draw(4), draw(4)
aten = torch.ops.aten
CASES = {
    "1-d": (lambda x, w: F.conv1d(x, w, bias, stride=2, padding=1), x1, draw(6, 4, 3)),
    "2-d": (lambda x, w: F.conv2d(x, w, bias, padding=(1, 0)), x2, draw(6, 4, 3, 2)),
    "no bias, dilated": (lambda x, w: F.conv2d(x, w, dilation=2), x2, draw(6, 4, 2, 2)),
    "grouped": (lambda x, w: torch.conv2d(x, w, None, 1, 1, 1, 2), x2, draw(6, 2, 3, 3)),
    "3-d": (lambda x, w: F.conv3d(x, w, bias), x3, draw(6, 4, 2, 2, 2)),
    "aten": (lambda x, w: aten.conv2d.default(x, w, bias, [2, 2], [1, 1], [1, 1], 1), x2, draw(6, 4, 3, 3)),
    "general": (
        lambda x, w: aten._convolution.default(
            x, w, bias, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True, True
        ),
        x2,
        draw(6, 4, 3, 3),
    ),
    "transposed": (
        lambda x, w: aten.convolution.default(x, w, bias, [2, 2], [1, 1], [1, 1], True, [1, 1], 1),
        x2,
        draw(4, 6, 3, 3),
    ),
    "same padding": (lambda x, w: F.conv2d(x, w, padding="same"), x2, draw(6, 4, 3, 3)),
    "one image": (lambda x, w: F.conv2d(x[0], w), x2, draw(6, 4, 3, 3)),
    "scale": (lambda x, w: F.batch_norm(x, mean, variance, w, shift), x2, scale),
    "shift": (lambda x, w: torch.batch_norm(x, scale, w, mean, variance, False, 0.1, 1e-5, True), x2, shift),
    "rows": (lambda x, w: F.batch_norm(x, mean, variance, w), draw(5, 4), scale),
    "batch statistics": (lambda x, w: F.batch_norm(x, None, None, w, shift, training=True), x2, scale),
}


def derivatives(function, x, w):
    """The value, both gradients of a scalar, and their derivatives in one direction."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = function(x, w)
    first = torch.autograd.grad(
        (y.tanh() * torch.linspace(-1, 2, y.numel()).reshape(y.shape)).sum(), (x, w), None, True, True
    )
    second = torch.autograd.grad(first, (x, w), [torch.cos(3 * part.detach()) for part in (x, w)])
    return y, *first, *second


@pytest.mark.parametrize("name", CASES)
def test_all_derivatives_agree(name):
    expected = derivatives(*CASES[name])
    with SecondOrder():
        found = derivatives(*CASES[name])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_only_one_operand_may_need_a_derivative():
    w = draw(6, 4, 3, 3).requires_grad_()
    with SecondOrder():
        y = F.conv2d(x2, w, padding=1)
    (first,) = torch.autograd.grad(y.tanh().sum(), w, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), w)
    z = F.conv2d(x2, w, padding=1)
    (usual,) = torch.autograd.grad(z.tanh().sum(), w, create_graph=True)
    torch.testing.assert_close(second, *torch.autograd.grad(usual.square().sum(), w), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in ("same padding", "one image", "batch statistics")]
)
def test_substitutes_are_used(name):
    function, x, w = CASES[name]
    with SecondOrder():
        y = function(x, w.clone().requires_grad_())
    graph = str(y.grad_fn) + str(y.grad_fn.next_functions)
    assert "Convolution" not in graph.replace("_ConvolutionBackward", "")
    assert "BatchNorm" not in graph


def test_products_with_the_hessian_of_a_large_network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 24, 3, bias=False), nn.BatchNorm2d(24), nn.GELU(), nn.Conv2d(24, 96, 3, 2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(96 * 9, 5)).double().eval()
    model[1].running_mean.normal_()
    x, y = draw(3, 3, 9, 9), torch.arange(3)
    H = HessianOperator.of(subject_of(model, x, y))
    v = draw(H.shape[1])
    assert H.shape[1] > 20_000
    assert H.mode == "double_backward"
    torch.testing.assert_close(H @ v, replace(H, mode="forward") @ v, rtol=1e-9, atol=1e-12)
