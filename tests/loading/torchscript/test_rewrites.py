"""Operators written from others: the numbers of the kernel they replace, derivatives as finite differences say."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vjp, vmap
from torch.nn import functional

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import torchscript


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@functools.cache
def constant(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


zeros = functools.partial(torch.zeros, dtype=torch.float64)
ones = functools.partial(torch.ones, dtype=torch.float64)


def grid_of(x: Tensor) -> Tensor:
    return 1.3 * torch.tanh(x[:, :2].permute(0, 2, 3, 1))


def lstm_cell(x: Tensor) -> Tensor:
    hidden, cell = torch.lstm_cell(x, [constant(3, 2), constant(3, 2)], constant(8, 6), constant(8, 2), constant(8))
    return torch.cat([hidden, cell], 1)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "hardsigmoid": (functional.hardsigmoid, (3, 6)),
    "hardsigmoid_": (lambda x: functional.hardsigmoid(x * 2, inplace=True), (3, 6)),
    "glu": (functional.glu, (3, 6)),
    "rrelu": (lambda x: functional.rrelu(x, 0.1, 0.4), (3, 6)),
    "cdist": (lambda x: torch.cdist(x, constant(4, 6)), (3, 6)),
    "cdist_1": (lambda x: torch.cdist(x, constant(4, 6), p=1.0), (3, 6)),
    "pdist": (torch.pdist, (4, 3)),
    "bilinear": (lambda x: functional.bilinear(x, x.sin(), constant(2, 6, 6), constant(2)), (3, 6)),
    "weight_norm": (lambda x: torch._weight_norm(x, constant(3, 1), 0), (3, 6)),
    "causal_attention": (lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True), (2, 2, 4, 3)),
    "masked_attention": (
        lambda x: functional.scaled_dot_product_attention(x, x, x, torch.tensor([[True, False], [False, False]])),
        (2, 2, 3),
    ),
    "grouped_attention": (
        lambda x: functional.scaled_dot_product_attention(x, x[:, :1], x[:, 1:], scale=0.3, enable_gqa=True),
        (2, 2, 4, 3),
    ),
    "grid_sample": (lambda x: functional.grid_sample(x, grid_of(x), align_corners=False), (2, 3, 4, 5)),
    "grid_sample_border": (
        lambda x: functional.grid_sample(x, grid_of(x), padding_mode="border", align_corners=True),
        (2, 3, 4, 5),
    ),
    "embedding_bag": (
        lambda x: functional.embedding_bag(torch.tensor([0, 2, 1, 2]), x, torch.tensor([0, 1]), mode="mean"),
        (3, 2),
    ),
    "batch_norm_training": (lambda x: functional.batch_norm(x, zeros(6), ones(6), training=True), (5, 6)),
    "instance_norm_tracking": (
        lambda x: functional.instance_norm(x, zeros(2), ones(2), use_input_stats=True),
        (3, 2, 4),
    ),
    "lstm_cell": (lstm_cell, (3, 6)),
    "gru_cell": (lambda x: torch.gru_cell(x, constant(3, 2), constant(6, 6), constant(6, 2)), (3, 6)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_rewritten_operator_gives_the_kernels_numbers_and_true_derivatives(name):
    function, shape = FUNCTIONS[name]
    x, v = constant(*shape) + 0.01, constant(*shape[::-1]).reshape(shape)
    # Before tracing, so that the constants drawn on first use are no part of the trace.
    expected = function(x.clone())
    program = read_torchscript(torchscript(Applied(function), x)).program

    def lowered(inputs: Tensor) -> Tensor:
        return program({}, inputs)[0]

    torch.testing.assert_close(lowered(x), expected, rtol=1e-12, atol=1e-12)
    step = 1e-5
    # Central differences err by step²·|f'''| ≈ 1e-9 and by rounding/step ≈ 1e-10.
    difference = (lowered(x + step * v) - lowered(x - step * v)) / (2 * step)
    torch.testing.assert_close(jvp(lowered, (x,), (v,))[1], difference, rtol=1e-6, atol=1e-7)
    gradient = grad(lambda inputs: lowered(inputs).sin().sum())
    second = (gradient(x + step * v) - gradient(x - step * v)) / (2 * step)
    torch.testing.assert_close(jvp(gradient, (x,), (v,))[1], second, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(vjp(gradient, x)[1](v)[0], second, rtol=1e-6, atol=1e-7)
    stacked = vmap(lambda tangent: jvp(gradient, (x,), (tangent,))[1])(torch.stack([v, 2 * v]))
    torch.testing.assert_close(stacked, torch.stack([second, 2 * second]), rtol=1e-6, atol=1e-6)
