"""Resize and Upsample: against onnxruntime at every version, against torch, and their derivatives."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eigengate.loading.onnx import OnnxProgram
from tests.support.fixed_operands import SINGLE, agree, differentiate, normal, program, run
from tests.support.onnx_models import export

EMPTY = np.zeros(0, dtype=np.float32)
TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "tf_crop_and_resize")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
PART = np.array([0, 0, 0.1, -0.2, 1, 1, 0.8, 1.1], dtype=np.float32)
"""A region of interest that reaches beyond the last axis at both ends."""


def scales(*factors: float) -> np.ndarray:
    return np.array([1, 1, *factors], dtype=np.float32)


def sizes(*lengths: int) -> np.ndarray:
    return np.array([1, 2, *lengths], dtype=np.int64)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("operator", "opset", "factors"),
    [
        ("Upsample", 9, (2, 3)),
        ("Upsample", 9, (1.5, 2.3)),
        ("Resize", 10, (2, 3)),
        ("Resize", 10, (1.5, 2.3)),
        ("Resize", 10, (0.6, 0.5)),
    ],
)
def test_elements_lay_at_multiples_before_version_11(
    operator: str, opset: int, factors: tuple[float, float], mode: str
) -> None:
    agree(operator, normal(1, 2, 5, 6), scales(*factors), opset=opset, mode=mode)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_scales_were_an_attribute_before_version_9(mode: str) -> None:
    agree("Upsample", normal(1, 2, 5, 6), opset=7, mode=mode, scales=[1.0, 1.0, 2.0, 1.5])


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("lengths", [(3, 4), (9, 12), (10, 17)])
def test_nearest_elements_are_those_of_onnxruntime(
    lengths: tuple[int, int], rounding: str, transformation: str
) -> None:
    attributes = {"nearest_mode": rounding, "coordinate_transformation_mode": transformation}
    agree("Resize", normal(1, 2, 5, 6), PART, EMPTY, sizes(*lengths), opset=13, mode="nearest", **attributes)


@pytest.mark.parametrize("opset", [11, 13, 18, 19])
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("lengths", [(3, 4), (10, 17)])
def test_weighted_sums_are_those_of_onnxruntime(
    lengths: tuple[int, int], mode: str, transformation: str, opset: int
) -> None:
    attributes = {"coordinate_transformation_mode": transformation, "extrapolation_value": 1.5}
    agree("Resize", normal(1, 2, 5, 6), PART, EMPTY, sizes(*lengths), opset=opset, mode=mode, **attributes)


@pytest.mark.parametrize(
    ("transformation", "mode"),
    [
        ("half_pixel", "nearest"),
        ("half_pixel", "linear"),
        ("half_pixel", "cubic"),
        ("asymmetric", "nearest"),
        ("asymmetric", "linear"),
        ("half_pixel_symmetric", "linear"),  # its places are ties too often for nearest elements to be compared
        ("half_pixel_symmetric", "cubic"),
    ],
)
@pytest.mark.parametrize("factors", [(0.6, 0.7), (1.3, 2.3), (0.8, 3)])
def test_scales_may_leave_a_fraction_of_an_element_over(
    factors: tuple[float, float], transformation: str, mode: str
) -> None:
    attributes = {"coordinate_transformation_mode": transformation}
    agree("Resize", normal(1, 2, 7, 10), EMPTY, scales(*factors), opset=19, mode=mode, **attributes)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude", [0, 1])
@pytest.mark.parametrize("factors", [(0.3, 0.5), (0.7, 2)])
def test_antialiasing_widens_the_filter(factors: tuple[float, float], exclude: int, mode: str) -> None:
    attributes = {"antialias": 1, "exclude_outside": exclude}
    agree("Resize", normal(1, 2, 9, 8), EMPTY, scales(*factors), opset=18, mode=mode, **attributes)


@pytest.mark.parametrize("a", [-0.75, -0.5])
def test_a_cubic_may_leave_out_what_lies_outside(a: float) -> None:
    attributes = {"exclude_outside": 1, "cubic_coeff_a": a}
    agree("Resize", normal(1, 2, 5, 6), EMPTY, scales(1.5, 0.6), opset=13, mode="cubic", **attributes)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
@pytest.mark.parametrize("axes", [[2, 3], [3, 2]])
def test_sizes_of_some_axes_may_keep_their_ratio(axes: list[int], policy: str) -> None:
    x, wanted = normal(1, 2, 5, 6), np.array([7, 9], dtype=np.int64)
    attributes = {"keep_aspect_ratio_policy": policy, "mode": "linear"}
    agree("Resize", x, None, None, wanted, opset=18, axes=axes, **attributes)
    # onnxruntime overlooks axes counted from the end.
    from_the_end = run("Resize", x, None, None, wanted, opset=18, axes=[axis - 4 for axis in axes], **attributes)
    assert torch.equal(from_the_end, run("Resize", x, None, None, wanted, opset=18, axes=axes, **attributes))


def test_tensorflow_half_pixels_round_as_in_onnxruntime() -> None:
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
    agree("Resize", normal(1, 2, 5, 6), EMPTY, scales(2, 0.6), opset=11, **attributes)


def test_any_axis_may_be_resized() -> None:
    """torch resizes spatial axes alone; the first two of three are moved there to compare."""
    x = normal(3, 4, 5)
    for mode, by_torch in (("nearest", "nearest"), ("linear", "bilinear"), ("cubic", "bicubic")):
        factors = np.array([2, 3, 1], dtype=np.float32)
        y = run("Resize", x, EMPTY, factors, opset=13, mode=mode)
        wanted = F.interpolate(x.permute(2, 0, 1).unsqueeze(0), scale_factor=(2, 3), mode=by_torch)
        torch.testing.assert_close(y, wanted.squeeze(0).permute(1, 2, 0), **SINGLE)


def test_a_size_may_shrink_to_nothing() -> None:
    for mode in ("nearest", "linear"):
        assert run("Resize", normal(1, 2, 3, 4), EMPTY, scales(2, 0.2), opset=13, mode=mode).shape == (1, 2, 6, 0)


def test_integers_are_rounded_and_saturated() -> None:
    x = torch.tensor([[[0, 255, 255, 0]]], dtype=torch.uint8)
    four = np.array([1, 1, 7], dtype=np.int64)
    y = run("Resize", x, EMPTY, EMPTY, four, opset=13, mode="cubic", coordinate_transformation_mode="align_corners")
    # Half way between the two largest the cubic overshoots to 255 · 1.1875, half way to the ends it reaches 255 / 2.
    assert y.dtype == torch.uint8
    assert y.flatten().tolist() == [0, 128, 255, 255, 255, 128, 0]


def test_half_precision_is_kept() -> None:
    x = normal(1, 2, 5, 6).half()
    for mode in ("nearest", "linear", "cubic"):
        y = run("Resize", x, EMPTY, scales(2, 2), opset=13, mode=mode)
        wanted = run("Resize", x.float(), EMPTY, scales(2, 2), opset=13, mode=mode)
        # Computed in single precision and rounded once: half a unit of eleven bits.
        torch.testing.assert_close(y.float(), wanted, rtol=2**-11, atol=1e-6)


@pytest.mark.parametrize("scale", [0.6, 1.5])
def test_aligned_corners_count_a_lost_fraction_as_the_standard_does(scale: float) -> None:
    """onnxruntime and torch do not: the standard's own cases are what decides."""
    x = normal(1, 1, 7)
    given = np.array([1, 1, scale], dtype=np.float32)
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    y = run("Resize", x, EMPTY, given, opset=13, **attributes)
    places = torch.arange(int(7 * scale)) * 6 / (7 * given[2].item() - 1)
    below = places.long()
    wanted = torch.lerp(x[0, 0, below], x[0, 0, (below + 1).clamp(max=6)], places - below)
    torch.testing.assert_close(y.flatten(), wanted, **SINGLE)


MODES = (
    {"mode": "nearest"},
    {"mode": "nearest", "scale_factor": 1.5},
    {"mode": "bilinear", "align_corners": False},
    {"mode": "bilinear", "align_corners": True},
    {"mode": "bilinear", "scale_factor": 1.5},
    {"mode": "bilinear", "size": (9, 3)},
    {"mode": "bicubic"},
    {"mode": "bicubic", "size": (4, 9), "align_corners": True},
)
ANTIALIASED = ({"mode": "bilinear", "size": (3, 9)}, {"mode": "bicubic", "size": (3, 2)})


class Interpolation(nn.Module):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = options if {"size", "scale_factor"} & options.keys() else {"scale_factor": 2, **options}

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, **self.options)


def exported(options: dict[str, Any], x: Tensor, exporter: str) -> OnnxProgram:
    data = export(Interpolation(options), x, exporter, 18)
    return OnnxProgram(onnx.load_from_string(data))


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
# Few elements go to torch's own kernels, up to 128 along an axis are weighted by a matrix, more go to torch again.
@pytest.mark.parametrize("shape", [(1, 2, 6, 6), (2, 32, 10, 8), (1, 2, 6, 130)], ids=str)
def test_what_torch_exports_is_what_it_computes(shape: tuple[int, ...], exporter: str, options: dict[str, Any]) -> None:
    x = normal(*shape)
    (y,) = exported(options, x, exporter)({}, x)
    # Weights of single precision; torch computes places in it too, 130 elements away from zero.
    torch.testing.assert_close(y, Interpolation(options)(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", ANTIALIASED, ids=str)
def test_what_torch_exports_with_antialiasing_is_what_it_computes(options: dict[str, Any]) -> None:
    x = normal(1, 2, 6, 6)
    antialiased = {**options, "antialias": True}
    (y,) = exported(antialiased, x, "dynamo")({}, x)
    torch.testing.assert_close(y, Interpolation(antialiased)(x), **SINGLE)


DERIVATIVES = (
    {"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.0},
    {"mode": "linear", "antialias": 1},
    {"mode": "cubic", "exclude_outside": 1},
)


@pytest.mark.parametrize("attributes", DERIVATIVES, ids=str)
@pytest.mark.parametrize("shape", [(1, 2, 4, 3), (1, 2, 6, 400), (1, 2, 3, 132)], ids=str)
@pytest.mark.parametrize("factors", [(2, 2), (0.6, 1.5)])
def test_every_derivative_is_right(
    factors: tuple[float, float], shape: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    differentiate("Resize", normal(*shape), PART, scales(*factors), opset=19, **attributes)


def test_every_derivative_of_the_older_versions_is_right() -> None:
    for mode in ("nearest", "linear"):
        differentiate("Resize", normal(1, 2, 4, 3), scales(2, 1.5), opset=10, mode=mode)
        differentiate("Upsample", normal(1, 2, 4, 3), scales(2, 1.5), opset=9, mode=mode)
        differentiate("Upsample", normal(1, 2, 4, 3), opset=7, mode=mode, scales=[1.0, 1.0, 2.0, 1.5])


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_the_gradient_is_the_transposed_map(mode: str) -> None:
    """Resizing is linear in its data: ⟨u, R x⟩ = ⟨Rᵀ u, x⟩ for every x, not only near one."""
    x = normal(1, 2, 6, 7).double().requires_grad_()
    resized = program("Resize", x.detach(), EMPTY, scales(1.7, 2.4), opset=13, mode=mode)
    y = resized({}, x)[0]
    u = normal(*y.shape, seed=1).double()
    (slope,) = torch.autograd.grad(y, x, u)
    other = normal(1, 2, 6, 7, seed=2).double()
    # Rounding of double precision in sums of a few hundred products.
    torch.testing.assert_close((u * resized({}, other)[0]).sum(), (slope * other).sum(), rtol=1e-11, atol=1e-11)
