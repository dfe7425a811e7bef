"""Convolutions, their transposes, and images put back together from blocks."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp, vjp, vmap

from tests.support.fixed_operands import SINGLE, agree, differentiate, normal, program, run

GEOMETRIES: tuple[dict[str, Any], ...] = (
    {},
    {"strides": [2, 1], "pads": [1, 2, 1, 2]},
    {"strides": [1, 3], "pads": [0, 1, 2, 0]},
    {"dilations": [2, 3], "pads": [1, 1, 1, 1]},
    {"strides": [2, 2], "dilations": [1, 2]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
    {"auto_pad": "VALID", "strides": [2, 2]},
)
X = normal(2, 4, 8, 9)
BIAS = normal(6, seed=2)
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
every_group = pytest.mark.parametrize("group", [1, 2, 4])


def weight(channels: int, *kernel: int) -> Tensor:
    return normal(channels, *kernel, seed=1)


@every_geometry
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("bias", [None, BIAS], ids=["no bias", "bias"])
@pytest.mark.parametrize("opset", [7, 11, 22])
def test_convolutions_are_those_of_onnxruntime(
    opset: int, bias: Tensor | None, group: int, geometry: dict[str, Any]
) -> None:
    agree("Conv", X, weight(6, 4 // group, 3, 2), bias, opset=opset, group=group, **geometry)


@pytest.mark.parametrize("spatial", [(9,), (4, 5, 6)], ids=str)
def test_lines_and_volumes_are_convolved_as_by_onnxruntime(spatial: tuple[int, ...]) -> None:
    rank = len(spatial)
    x, kernel = normal(2, 4, *spatial), weight(6, 2, *[3] * rank)
    for pads in ([1] * 2 * rank, [0] * rank + [2] * rank):
        agree("Conv", x, kernel, BIAS, opset=11, group=2, strides=[2] * rank, pads=pads)
    agree("Conv", x, kernel, BIAS, opset=11, group=2, auto_pad="SAME_UPPER", strides=[2] * rank)
    kernel = weight(4, 3, *[3] * rank)
    for extra in (0, 1):
        geometry = {"strides": [2] * rank, "pads": [1] * 2 * rank, "output_padding": [extra] * rank}
        agree("ConvTranspose", x, kernel, BIAS, opset=11, group=2, **geometry)


def test_same_padding_counts_a_dilated_kernel_with_its_gaps() -> None:
    """onnxruntime refuses this."""
    y = run("Conv", X, weight(6, 4, 3, 2), opset=22, auto_pad="SAME_UPPER", dilations=[2, 3])
    torch.testing.assert_close(y, F.conv2d(F.pad(X, (1, 2, 2, 2)), weight(6, 4, 3, 2), dilation=(2, 3)), **SINGLE)


TRANSPOSED: tuple[dict[str, Any], ...] = (
    {},
    {"strides": [2, 3], "pads": [1, 0, 1, 0]},
    {"strides": [2, 3], "pads": [1, 0, 0, 1]},
    {"strides": [2, 3], "pads": [0, 1, 2, 1]},
    {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]},
    {"strides": [2, 2], "dilations": [2, 1], "pads": [2, 1, 0, 1]},
    {"strides": [2, 2], "output_shape": [15, 18]},
    {"strides": [2, 2], "output_shape": [16, 17], "output_padding": [1, 1]},
    {"strides": [2, 2], "output_shape": [15, 17], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "output_shape": [15, 17], "auto_pad": "SAME_LOWER"},
    {"strides": [2, 1], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 1], "auto_pad": "SAME_LOWER"},
    {"strides": [2, 1], "auto_pad": "VALID"},
)


@pytest.mark.parametrize("geometry", TRANSPOSED, ids=str)
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("opset", [7, 11, 22])
def test_transposed_convolutions_are_those_of_onnxruntime(
    opset: int, bias: bool, group: int, geometry: dict[str, Any]
) -> None:
    added = normal(3 * group, seed=2) if bias else None
    agree("ConvTranspose", X, weight(4, 3, 3, 2), added, opset=opset, group=group, **geometry)


def test_a_kernel_shorter_than_its_stride_still_gives_stride_times_as_many_elements() -> None:
    """As the standard and TensorFlow have it; onnxruntime gives fewer. Nothing but the bias reaches the last ones."""
    x, kernel, bias = normal(1, 1, 3), weight(1, 1, 1), torch.tensor([0.5])
    y = run("ConvTranspose", x, kernel, bias, opset=22, auto_pad="SAME_UPPER", strides=[3])
    wanted = F.pad(F.conv_transpose1d(x, kernel, stride=3), (0, 2)) + 0.5
    torch.testing.assert_close(y, wanted, **SINGLE)


@every_geometry
@every_group
def test_every_derivative_of_a_convolution_is_right(group: int, geometry: dict[str, Any]) -> None:
    operands = (normal(2, 4, 6, 7), weight(4, 4 // group, 3, 2), normal(4, seed=2))
    differentiate("Conv", *operands, opset=22, group=group, **geometry)


@pytest.mark.parametrize("geometry", TRANSPOSED, ids=str)
@pytest.mark.parametrize("group", [1, 2])
def test_every_derivative_of_a_transposed_convolution_is_right(group: int, geometry: dict[str, Any]) -> None:
    sizes = {"output_shape"} & geometry.keys()
    operands = (X if sizes else normal(2, 4, 4, 5), weight(4, 2, 3, 2), normal(2 * group, seed=2))
    differentiate("ConvTranspose", *operands, opset=22, group=group, **geometry)


@pytest.mark.parametrize("geometry", [{"group": 2}, {"dilations": [2, 1]}, {"group": 2, "strides": [2, 1]}], ids=str)
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
def test_second_derivatives_of_many_samples_at_once_are_differences_of_gradients(
    name: str, geometry: dict[str, Any]
) -> None:
    """Of its cube, by data and weights together, many of both."""
    x, kernel = normal(3, 1, 4, 5, 6).double(), normal(3, 4, 4 // geometry.get("group", 1), 2, 3, seed=1).double()
    convolution = program(name, x[0].float(), kernel[0].float(), opset=22, **geometry)

    def cube(data: Tensor, weights: Tensor) -> Tensor:
        return convolution({}, data, weights)[0] ** 3

    v = (normal(1, 4, 5, 6, seed=2).double(), normal(*kernel.shape[1:], seed=3).double())
    u = normal(*cube(x[0], kernel[0]).shape, seed=4).double()

    def gradient(data: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        pulled: tuple[Tensor, ...] = vjp(cube, data, weights)[1](u)
        return pulled

    step = 1e-6
    products = vmap(lambda *at: jvp(gradient, at, v)[1])(x, kernel)
    up, down = (vmap(gradient)(x + sign * step * v[0], kernel + sign * step * v[1]) for sign in (1, -1))
    for product, one, other in zip(products, up, down, strict=True):
        # Differences with step 1e-6 in double precision, of gradients of up to some thousands.
        torch.testing.assert_close(product, (one - other) / (2 * step), rtol=1e-5, atol=1e-4)


BLOCKS: tuple[dict[str, Any], ...] = (
    {},
    {"strides": [2, 1]},
    {"pads": [1, 1, 1, 1], "dilations": [1, 2]},
    {"pads": [0, 1, 2, 0], "strides": [1, 2]},
)


def blocks(geometry: dict[str, Any], image: tuple[int, ...], kernel: tuple[int, ...], channels: int = 3) -> Tensor:
    """As many blocks as fit."""
    rank = len(kernel)
    pads, strides = geometry.get("pads", [0] * 2 * rank), geometry.get("strides", [1] * rank)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, geometry.get("dilations", [1] * rank), strict=True)]
    counts = [
        (size + before + after - extent) // stride + 1
        for size, before, after, extent, stride in zip(image, pads[:rank], pads[rank:], extents, strides, strict=True)
    ]
    return normal(2, channels * int(np.prod(kernel)), int(np.prod(counts)))


@pytest.mark.parametrize("geometry", BLOCKS, ids=str)
def test_blocks_add_up_to_images_as_in_onnxruntime(geometry: dict[str, Any]) -> None:
    x = blocks(geometry, (5, 6), (2, 3))
    agree("Col2Im", x, np.array([5, 6]), np.array([2, 3]), opset=18, **geometry)


@pytest.mark.parametrize(
    "geometry",
    [{}, {"strides": [2, 1, 1], "pads": [1, 0, 1, 0, 1, 1]}, {"dilations": [1, 2, 1]}],
    ids=str,
)
def test_blocks_of_a_volume_are_the_adjoint_of_cutting_it(geometry: dict[str, Any]) -> None:
    """⟨fold(c), x⟩ = ⟨c, cut(x)⟩, cutting being a convolution with a one at every place of the block."""
    image, kernel = (4, 5, 3), (2, 2, 3)
    if "pads" not in geometry:
        geometry = {**geometry, "pads": [0, 0, 0, 0, 0, 0]}
    c, x = blocks(geometry, image, kernel, channels=1), normal(2, 1, *image, seed=1)
    folded = run("Col2Im", c, np.array(image), np.array(kernel), opset=18, **geometry)
    cutting = torch.eye(12).reshape(12, 1, *kernel)
    cut = run("Conv", x, cutting, opset=22, **geometry).flatten(2)
    torch.testing.assert_close((folded * x).sum(), (c * cut).sum(), **SINGLE)


@pytest.mark.parametrize("geometry", BLOCKS, ids=str)
def test_every_derivative_of_putting_blocks_together_is_right(geometry: dict[str, Any]) -> None:
    x = blocks(geometry, (5, 6), (2, 3))
    differentiate("Col2Im", x, np.array([5, 6]), np.array([2, 3]), opset=18, **geometry)
