"""Pools over windows and over all of space, and what undoes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp, vjp, vmap

from tests.support.fixed_operands import SINGLE, agree, differentiate, normal, program, run

GEOMETRIES: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [3, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 3], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 3], "strides": [1, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "strides": [3, 2], "auto_pad": "VALID"},
)
ROUNDED_UP: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [3, 3], "strides": [2, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "strides": [3, 2], "pads": [0, 0, 1, 2], "ceil_mode": 1},
    {"kernel_shape": [1, 2], "strides": [4, 2], "ceil_mode": 1},
)
DILATED: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "dilations": [2, 2], "pads": [2, 2, 2, 2], "strides": [2, 1]},
    {"kernel_shape": [2, 2], "dilations": [1, 3], "pads": [0, 1, 1, 0], "strides": [2, 2], "ceil_mode": 1},
)
X = normal(2, 3, 7, 8)


@pytest.mark.parametrize("geometry", [*GEOMETRIES, *ROUNDED_UP, *DILATED], ids=str)
@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize("opset", [10, 12, 22])
def test_maxima_and_their_places_are_those_of_onnxruntime(
    opset: int, storage_order: int, geometry: dict[str, Any]
) -> None:
    agree("MaxPool", X, opset=opset, outputs=2, storage_order=storage_order, **geometry)
    agree("MaxPool", X, opset=opset, **geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_oldest_maxima_are_those_of_onnxruntime(geometry: dict[str, Any]) -> None:
    agree("MaxPool", X, opset=7, **geometry)
    agree("MaxPool", X, opset=8, outputs=2, **geometry)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8], ids=str)
def test_eight_bits_are_pooled_exactly(dtype: torch.dtype) -> None:
    x = torch.arange(168).reshape(1, 3, 7, 8).to(dtype)
    for geometry in (*GEOMETRIES, *DILATED):
        agree("MaxPool", x, opset=12, outputs=2, **geometry)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(
    ("geometry", "opset"),
    [
        *((g, 7) for g in GEOMETRIES),
        *((g, 11) for g in ROUNDED_UP),
        *((g, 22) for g in (*GEOMETRIES, *ROUNDED_UP, *DILATED)),
    ],
    ids=str,
)
def test_means_are_those_of_onnxruntime(geometry: dict[str, Any], opset: int, include: int) -> None:
    agree("AveragePool", X, opset=opset, count_include_pad=include, **geometry)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(
    ("geometry", "opset"),
    [*((g, 11) for g in GEOMETRIES), *((g, 18) for g in (*ROUNDED_UP, *DILATED)), *((g, 22) for g in GEOMETRIES)],
    ids=str,
)
def test_norms_are_those_of_onnxruntime(geometry: dict[str, Any], opset: int, p: int) -> None:
    agree("LpPool", X, opset=opset, p=p, **geometry)


@pytest.mark.parametrize("spatial", [(9,), (4, 5, 6)], ids=str)
def test_lines_and_volumes_are_pooled_as_by_onnxruntime(spatial: tuple[int, ...]) -> None:
    x, rank = normal(2, 3, *spatial), len(spatial)
    for pads in ([1] * 2 * rank, [0] * rank + [1] * rank):
        geometry = {"kernel_shape": [3] * rank, "strides": [2] * rank, "pads": pads}
        agree("MaxPool", x, opset=12, outputs=2, **geometry)
        agree("AveragePool", x, opset=11, ceil_mode=1, **geometry)
        agree("LpPool", x, opset=18, **geometry)


@pytest.mark.parametrize("spatial", [(9,), (4, 5), (2, 3, 4)], ids=str)
def test_all_of_space_is_pooled_as_by_onnxruntime(spatial: tuple[int, ...]) -> None:
    x = normal(2, 3, *spatial)
    agree("GlobalAveragePool", x, opset=7)
    agree("GlobalMaxPool", x, opset=7)
    for p in (1, 2, 3):
        agree("GlobalLpPool", x, opset=7, p=p)


@pytest.mark.parametrize("geometry", [GEOMETRIES[1], GEOMETRIES[2], GEOMETRIES[3], *ROUNDED_UP, *DILATED], ids=str)
def test_every_derivative_of_a_pool_is_right(geometry: dict[str, Any]) -> None:
    x = normal(1, 2, 7, 6)
    differentiate("MaxPool", x, opset=22, **geometry)
    differentiate("MaxPool", x, opset=22, outputs=2, **geometry)
    differentiate("LpPool", x, opset=22, **geometry)
    for include in (0, 1):
        differentiate("AveragePool", x, opset=22, count_include_pad=include, **geometry)


@pytest.mark.parametrize("spatial", [(6,), (3, 4), (2, 3, 3)], ids=str)
def test_every_derivative_of_a_pool_over_all_of_space_is_right(spatial: tuple[int, ...]) -> None:
    x = normal(2, 2, *spatial)
    for name in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        differentiate(name, x, opset=22)
    differentiate("GlobalLpPool", x, opset=22, p=3)


@pytest.mark.parametrize("name", ["MaxPool", "GlobalMaxPool"])
def test_of_equal_maxima_one_has_the_derivative_as_in_torch(name: str) -> None:
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    geometry = {"kernel_shape": [2, 2], "strides": [2, 2]} if name == "MaxPool" else {}
    (ours,) = torch.autograd.grad(program(name, x, opset=12, **geometry)({}, x)[0].sum(), x)
    pool = F.max_pool2d(x, 2) if name == "MaxPool" else F.adaptive_max_pool2d(x, 1)
    (theirs,) = torch.autograd.grad(pool.sum(), x)
    assert torch.equal(ours, theirs)
    assert ours.sum() == pool.numel()


def test_windows_of_zeros_have_norms_with_finite_derivatives() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    y = program("LpPool", x, opset=18, kernel_shape=[2, 2])({}, x)[0]
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert torch.equal(y, torch.zeros_like(y))
    assert torch.equal(slope, torch.zeros_like(slope))


def hessian_product(f: Callable[[Tensor], Tensor], u: Tensor, v: Tensor) -> Callable[[Tensor], Tensor]:
    """x ↦ ∂/∂t ∇⟨u, f⟩(x + t v) at t = 0, forward over reverse."""
    return lambda x: jvp(lambda z: vjp(f, z)[1](u)[0], (x,), (v,))[1]


@pytest.mark.parametrize("name", ["MaxPool", "AveragePool", "LpPool"])
def test_second_derivatives_of_many_samples_at_once_are_differences_of_gradients(name: str) -> None:
    """A pool is piecewise linear, or a norm; of its cube the curvature does not vanish."""
    pool = program(name, normal(1, 2, 5, 6), opset=22, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])

    def cube(x: Tensor) -> Tensor:
        return pool({}, x)[0] ** 3

    xs, v = normal(4, 1, 2, 5, 6).double(), normal(1, 2, 5, 6, seed=1).double()
    u = normal(*cube(xs[0]).shape, seed=2).double()
    step = 1e-6
    products = vmap(hessian_product(cube, u, v))(xs)
    up, down = (vmap(lambda x: vjp(cube, x)[1](u)[0])(xs + sign * step * v) for sign in (1, -1))
    # Differences with step 1e-6 in double precision, of gradients of up to about a hundred.
    torch.testing.assert_close(products, (up - down) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spatial", [(8,), (6, 8), (4, 6, 2)], ids=str)
@pytest.mark.parametrize("opset", [9, 11])
def test_unpooling_is_that_of_onnxruntime(opset: int, spatial: tuple[int, ...]) -> None:
    rank = len(spatial)
    x = normal(2, 2, *spatial)
    geometry = {"kernel_shape": [2] * rank, "strides": [2] * rank}
    values, places = program("MaxPool", x, opset=12, outputs=2, **geometry)({}, x)
    agree("MaxUnpool", values, places, opset=opset, **geometry)


def test_unpooling_to_a_larger_shape_adds_zeros_at_the_ends() -> None:
    """As in the standard's case; onnxruntime takes places for those in the larger shape."""
    x = normal(1, 1, 4, 4)
    geometry = {"kernel_shape": [2, 2], "strides": [2, 2]}
    values, places = program("MaxPool", x, opset=12, outputs=2, **geometry)({}, x)
    y = run("MaxUnpool", values, places, np.array([1, 1, 5, 6]), opset=11, **geometry)
    torch.testing.assert_close(y[:, :, :4, :4], F.max_unpool2d(values, places, 2), **SINGLE)
    assert y.shape == (1, 1, 5, 6)
    assert not y[:, :, 4:].any()
    assert not y[..., 4:].any()


def test_every_derivative_of_unpooling_is_right() -> None:
    x = normal(2, 2, 4, 4)
    geometry = {"kernel_shape": [2, 2], "strides": [2, 2]}
    values, places = program("MaxPool", x, opset=12, outputs=2, **geometry)({}, x)
    differentiate("MaxUnpool", values, places, opset=22, **geometry)
    differentiate("MaxUnpool", values, places, np.array([2, 2, 5, 6]), opset=22, **geometry)
