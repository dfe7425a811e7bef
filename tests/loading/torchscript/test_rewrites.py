"""Operators written from others: the numbers of the kernel they replace, derivatives as finite differences say."""

import functools
from collections.abc import Callable
from typing import Any

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
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        "torch.cholesky is deprecated",
        "The reduce argument of torch.scatter",
        "index_reduce",
    )
]

ones = functools.partial(torch.ones, dtype=torch.float64)


def grid_of(x: Tensor) -> Tensor:
    return 1.3 * torch.tanh(x[:, :2].permute(0, 2, 3, 1))


def volume_of(x: Tensor) -> Tensor:
    return 1.3 * torch.tanh(x.permute(0, 2, 3, 4, 1))


SAMPLINGS = [
    (mode, padding, corners)
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for corners in (False, True)
]
TOKENS = torch.tensor([0, 2, 1, 2])
PLACES = torch.tensor([[0, 1], [2, 1]])
LABELS = torch.tensor([[3, 0, -1, 1, 2, 4], [-1, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]])
INTERPOLATIONS: list[tuple[str, tuple[int, ...], dict[str, object]]] = [
    ("nearest", (2, 2, 3, 4), {"scale_factor": 1.7}),
    ("nearest-exact", (2, 2, 3, 4), {"mode": "nearest-exact", "size": (5, 3)}),
    ("nearest-exact_scaled", (2, 2, 5), {"mode": "nearest-exact", "scale_factor": 1.7}),
    ("nearest-exact_volume", (1, 2, 2, 3, 4), {"mode": "nearest-exact", "scale_factor": 0.6}),
    ("linear", (2, 2, 5), {"mode": "linear", "scale_factor": 1.5}),
    ("bilinear", (2, 2, 3, 4), {"mode": "bilinear", "scale_factor": 1.7}),
    ("bilinear_corners", (2, 2, 3, 4), {"mode": "bilinear", "size": (5, 3), "align_corners": True}),
    ("bilinear_antialias", (2, 2, 5, 6), {"mode": "bilinear", "size": (3, 4), "antialias": True}),
    ("bicubic", (2, 2, 4, 5), {"mode": "bicubic", "scale_factor": 1.7}),
    ("bicubic_recomputed", (2, 2, 4, 5), {"mode": "bicubic", "scale_factor": 1.7, "recompute_scale_factor": True}),
    ("bicubic_antialias", (2, 2, 5, 6), {"mode": "bicubic", "size": (3, 4), "antialias": True}),
    ("trilinear", (1, 2, 2, 3, 4), {"mode": "trilinear", "scale_factor": 1.7}),
    ("area", (2, 2, 5, 6), {"mode": "area", "scale_factor": 0.6}),
]


def grid_sampled(mode: str, padding: str, corners: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: functional.grid_sample(x, 2 * grid_of(x), mode, padding, corners)


def interpolated(**options: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: functional.interpolate(x, **options)


def unpooled(pooled: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
    return torch._C._nn.max_unpool2d(*pooled, size)


def lstm_cell(x: Tensor) -> Tensor:
    hidden, cell = torch.lstm_cell(x, [constant(3, 2), constant(3, 2)], constant(8, 6), constant(8, 2), constant(8))
    return torch.cat([hidden, cell], 1)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "hardsigmoid": (functional.hardsigmoid, (3, 6)),
    "hardsigmoid_": (lambda x: functional.hardsigmoid(x * 2, inplace=True), (3, 6)),
    "glu": (functional.glu, (3, 6)),
    "prelu": (lambda x: functional.prelu(x, constant(6)), (3, 6)),
    "prelu_images": (lambda x: functional.prelu(x, constant(2)), (3, 2, 2, 2)),
    "prelu_one_slope": (lambda x: functional.prelu(x, constant(1)), (3, 6)),
    "prelu_numbers": (lambda x: functional.prelu(x, constant(1)), (6,)),
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
    **{
        f"grid_sample_{mode}_{padding}_{corners}": (grid_sampled(mode, padding, corners), (2, 3, 4, 5))
        for mode, padding, corners in SAMPLINGS
    },
    "grid_sample_volume": (lambda x: functional.grid_sample(x, volume_of(x), align_corners=False), (1, 3, 2, 3, 4)),
    "grid_sample_volume_reflected": (
        lambda x: functional.grid_sample(x, 1.7 * volume_of(x), padding_mode="reflection", align_corners=True),
        (1, 3, 2, 3, 4),
    ),
    **{
        f"embedding_bag_{mode}": (
            lambda x, mode=mode: functional.embedding_bag(TOKENS, x, torch.tensor([0, 1, 1]), mode=mode),
            (3, 2),
        )
        for mode in ("sum", "mean", "max")
    },
    **{
        f"embedding_bag_{mode}_padded": (
            lambda x, mode=mode: functional.embedding_bag(TOKENS, x, torch.tensor([0, 2]), mode=mode, padding_idx=-1),
            (3, 2),
        )
        for mode in ("sum", "mean", "max")
    },
    "embedding_bag_weighted": (
        lambda x: functional.embedding_bag(
            TOKENS, x.sin(), torch.tensor([0, 1, 4]), mode="sum", per_sample_weights=x[0, :4], include_last_offset=True
        ),
        (4, 5),
    ),
    "embedding_bounded": (lambda x: functional.embedding(TOKENS, x * 1.0, max_norm=0.9), (4, 3)),
    "max_unpool": (lambda x: unpooled(functional.max_pool2d(x, 2, return_indices=True), (4, 6)), (2, 4, 6)),
    "max_unpool_overlapping": (
        lambda x: unpooled(functional.max_pool2d(x, 3, 1, return_indices=True), (4, 5)),
        (1, 2, 4, 5),
    ),
    "max_unpool_volume": (
        lambda x: torch._C._nn.max_unpool3d(
            *functional.max_pool3d(x, 2, return_indices=True), (2, 4, 6), (2, 2, 2), (0, 0, 0)
        ),
        (2, 2, 4, 6),
    ),
    "norm": (lambda x: torch.stack([torch.norm(x), torch.norm(x, 1), torch.norm(x, 3)]), (3, 6)),
    "norm_over_rows": (lambda x: x.norm(dim=1, keepdim=True, p=1.5) + x.norm(p=float("inf"), dim=0), (3, 6)),
    "cholesky": (lambda x: torch.cholesky(x @ x.T + torch.eye(3, dtype=x.dtype), upper=True), (3, 4)),
    "scatter_add": (lambda x: x.sin().scatter(0, PLACES, x[:2], reduce="add"), (3, 2)),
    "scatter_multiply": (lambda x: x.sin().scatter(0, PLACES, 1.5, reduce="multiply"), (3, 2)),
    "scatter_prod": (lambda x: x.sin().scatter_reduce(0, PLACES, x[1:].cos(), "prod"), (3, 2)),
    "scatter_prod_alone": (
        lambda x: x.sin().scatter_reduce(1, PLACES[:, :1], x[1:, 1:], "prod", include_self=False),
        (3, 3),
    ),
    "index_mean": (lambda x: x.sin().index_reduce(0, torch.tensor([0, 2, 0]), x, "mean"), (3, 2)),
    "soft_margin_loss": (lambda x: functional.soft_margin_loss(x, x.detach().sign()), (3, 6)),
    "huber_loss": (lambda x: functional.huber_loss(x, 0.3 * x.sin(), reduction="none", delta=0.4), (3, 6)),
    "multi_margin_loss": (
        lambda x: functional.multi_margin_loss(x, torch.tensor([2, 0, 5]), p=2, weight=constant(6).abs()),
        (3, 6),
    ),
    "multilabel_margin_loss": (
        lambda x: functional.multilabel_margin_loss(x, LABELS, reduction="none"),
        (3, 6),
    ),
    **{f"interpolate_{name}": (interpolated(**options), shape) for name, shape, options in INTERPOLATIONS},
    "group_norm": (lambda x: functional.group_norm(x, 2, constant(4), constant(4).sin()), (2, 4, 3)),
    "layer_norm": (lambda x: functional.layer_norm(x, (4, 3), constant(4, 3), constant(4, 3).sin()), (2, 4, 3)),
    "rms_norm": (lambda x: functional.rms_norm(x, (3,), constant(3)), (2, 4, 3)),
    "local_response_norm": (lambda x: functional.local_response_norm(x, 2), (2, 4, 3)),
    "batch_norm": (
        lambda x: functional.batch_norm(x, constant(6), constant(6).abs() + 1, constant(6), constant(6).sin()),
        (5, 6),
    ),
    "batch_norm_training": (lambda x: functional.batch_norm(x, zeros(6), ones(6), training=True), (5, 6)),
    "instance_norm_tracking": (
        lambda x: functional.instance_norm(x, zeros(2), ones(2), use_input_stats=True),
        (3, 2, 4),
    ),
    "mse_loss": (lambda x: functional.mse_loss(x, x.sin(), reduction="none"), (3, 6)),
    "flash_attention": (
        lambda x: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(x, x.sin(), x.cos(), is_causal=True)[0],
        (2, 2, 4, 3),
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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pulling_back_many_cotangents_at_once_gives_what_each_gives_alone(name):
    """As measurements do: the backward kernel of ``prelu`` fails under vmap, or gives wrong numbers."""
    function, shape = FUNCTIONS[name]
    x = constant(*shape) + 0.01
    value = function(x.clone())
    program = read_torchscript(torchscript(Applied(function), x)).program
    pull = vjp(lambda inputs: program({}, inputs)[0], x)[1]
    cotangents = torch.randn(3, *value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    singles = torch.stack([pull(cotangent)[0] for cotangent in cotangents])
    torch.testing.assert_close(vmap(pull)(cotangents)[0], singles, rtol=1e-9, atol=1e-9)
