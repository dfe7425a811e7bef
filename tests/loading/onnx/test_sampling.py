"""Sampling at real positions: GridSample, RoiAlign, MaxRoiPool and DeformConv."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx import OnnxProgram
from tests.support.fixed_operands import SINGLE, agree, differentiate, node, normal, run
from tests.support.operator_derivatives import check_every_derivative

PADDINGS = ("zeros", "border", "reflection")


def positions(*shape: int, reach: float = 1.6) -> Tensor:
    """Positions inside of the data and some way outside."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1) * reach


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_plane_is_sampled_as_by_torch_and_by_onnxruntime(mode: str, corners: int, padding: str) -> None:
    x, grid = normal(2, 3, 5, 4), positions(2, 6, 7, 2)
    attributes = {"mode": mode, "align_corners": corners, "padding_mode": padding}
    agree("GridSample", x, grid, opset=16, **attributes)
    wanted = F.grid_sample(x, grid, mode=mode, align_corners=bool(corners), padding_mode=padding)
    torch.testing.assert_close(run("GridSample", x, grid, opset=16, **attributes), wanted, **SINGLE)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("opset", [20, 22])
def test_a_volume_is_sampled_as_by_torch_and_by_onnxruntime(opset: int, mode: str, corners: int, padding: str) -> None:
    x, grid = normal(2, 3, 3, 4, 5), positions(2, 2, 3, 4, 3)
    attributes = {"mode": mode, "align_corners": corners, "padding_mode": padding}
    agree("GridSample", x, grid, opset=opset, **attributes)
    by_torch = {"linear": "bilinear"}.get(mode, mode)
    wanted = F.grid_sample(x, grid, mode=by_torch, align_corners=bool(corners), padding_mode=padding)
    torch.testing.assert_close(run("GridSample", x, grid, opset=opset, **attributes), wanted, **SINGLE)


def test_positions_far_away_find_the_border() -> None:
    x = normal(1, 1, 3, 4)
    far = torch.tensor([[[[-1e30, 0.0], [1e30, 0.0], [0.0, 1e30]]]])
    y = run("GridSample", x, far, opset=20, mode="nearest", padding_mode="border")
    assert torch.equal(y.flatten(), torch.stack([x[0, 0, 1, 0], x[0, 0, 1, 3], x[0, 0, 2, 2]]))


def test_a_reflection_within_a_single_element_stays_there() -> None:
    x = normal(1, 1, 1, 3)
    y = run("GridSample", x, positions(1, 2, 2, 2), opset=20, padding_mode="reflection", align_corners=1)
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("mode", "corners"), [("linear", 0), ("linear", 1), ("nearest", 0), ("cubic", 0), ("cubic", 1)]
)
def test_samples_have_derivatives_by_data_and_positions(mode: str, corners: int, padding: str) -> None:
    attributes = {"mode": mode, "align_corners": corners, "padding_mode": padding}
    differentiate("GridSample", normal(2, 2, 4, 3), positions(2, 3, 3, 2), opset=20, **attributes)


def test_samples_of_lines_and_volumes_have_derivatives() -> None:
    differentiate("GridSample", normal(1, 2, 5), positions(1, 4, 1), opset=20)
    differentiate("GridSample", normal(1, 2, 5), positions(1, 4, 1), opset=20, mode="cubic")
    differentiate("GridSample", normal(1, 1, 3, 2, 4), positions(1, 2, 2, 2, 3), opset=22)


# Within the image, across its borders, wholly outside of it, larger than it, and smaller than an element.
REGIONS = torch.tensor(
    [
        [0.6, 1.2, 4.1, 5.3],
        [-2.2, -1.4, 2.3, 3.1],
        [9.1, 9.2, 12.7, 14.1],
        [-7.3, -6.1, 19.8, 33.9],
        [2.1, 3.2, 2.7, 3.4],
    ]
)
IMAGES = torch.tensor([0, 1, 1, 0, 1])


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("transformation", [None, "half_pixel", "output_half_pixel"])
def test_regions_are_aligned_as_by_onnxruntime(transformation: str | None, ratio: int, mode: str) -> None:
    attributes: dict[str, Any] = {"mode": mode, "sampling_ratio": ratio, "spatial_scale": 0.9}
    attributes |= {"output_height": 2, "output_width": 3}
    if transformation is not None:
        attributes["coordinate_transformation_mode"] = transformation
    opset = 10 if transformation is None else 16
    agree("RoiAlign", normal(2, 3, 6, 5), REGIONS, IMAGES, opset=opset, **attributes)


def test_a_region_turned_inside_out_has_no_samples() -> None:
    inside_out = torch.tensor([[3.0, 3.0, 1.0, 1.0]])
    for mode in ("avg", "max"):
        y = run("RoiAlign", normal(1, 2, 6, 5), inside_out, IMAGES[:1], opset=16, mode=mode, output_width=2)
        assert torch.equal(y, torch.zeros(1, 2, 1, 2))


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_aligned_regions_have_derivatives_by_data_and_corners(ratio: int, mode: str) -> None:
    """An adaptive number of samples too, under ``vmap`` too."""
    attributes = {"mode": mode, "sampling_ratio": ratio, "output_height": 2, "output_width": 2}
    operands = (normal(2, 2, 5, 4), REGIONS, IMAGES)
    model = node("RoiAlign", *operands, opset=16, **attributes)
    check_every_derivative(OnnxProgram(model), operands)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_regions_are_pooled_as_by_onnxruntime(scale: float) -> None:
    regions = torch.cat([IMAGES[:, None].float(), REGIONS], 1)
    agree("MaxRoiPool", normal(2, 3, 6, 5), regions, opset=7, pooled_shape=[2, 3], spatial_scale=scale)


def test_pooled_regions_have_derivatives_by_data_alone() -> None:
    regions = torch.cat([IMAGES[:, None].float(), REGIONS], 1)
    differentiate("MaxRoiPool", normal(2, 3, 6, 5), regions.numpy(), opset=22, pooled_shape=[2, 3])
    x, moved = normal(2, 1, 6, 5), regions.requires_grad_()
    pooled = OnnxProgram(node("MaxRoiPool", x, moved, opset=22, pooled_shape=[2, 3]))({}, x, moved)[0]
    assert not pooled.requires_grad


def deformed(group: int, offset_group: int, *, masked: bool, bias: bool) -> list[Tensor | None]:
    """Operands of a kernel of 3 by 2 on 4 channels of 6 by 5 elements, moved about by two elements or so."""
    offset = 2 * normal(2, offset_group * 12, 3, 3, seed=1)
    mask = torch.rand(2, offset_group * 6, 3, 3, generator=torch.Generator().manual_seed(2)) if masked else None
    weight = normal(6, 4 // group, 3, 2, seed=4)
    return [normal(2, 4, 6, 5), weight, offset, normal(6, seed=5) if bias else None, mask]


GEOMETRY = {"strides": [2, 2], "pads": [1, 1, 0, 1], "dilations": [1, 2]}


@pytest.mark.parametrize(("group", "offset_group"), [(1, 1), (2, 1), (1, 2), (2, 2), (2, 4)])
@pytest.mark.parametrize(("masked", "bias"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("opset", [19, 22])
def test_deformed_kernels_are_those_of_onnxruntime(
    opset: int, masked: bool, bias: bool, group: int, offset_group: int
) -> None:
    operands = deformed(group, offset_group, masked=masked, bias=bias)
    agree("DeformConv", *operands, opset=opset, group=group, offset_group=offset_group, **GEOMETRY)


def test_an_undeformed_kernel_is_a_convolution() -> None:
    x, weight = normal(1, 2, 4, 5, 6), normal(3, 2, 2, 2, 2)
    y = run("DeformConv", x, weight, torch.zeros(1, 24, 3, 4, 5), opset=19)
    torch.testing.assert_close(y, F.conv3d(x, weight), **SINGLE)


@pytest.mark.parametrize(("group", "offset_group"), [(1, 1), (2, 2)])
def test_deformed_kernels_have_derivatives_by_all_operands(group: int, offset_group: int) -> None:
    operands = deformed(group, offset_group, masked=True, bias=True)
    differentiate("DeformConv", *operands, opset=22, group=group, offset_group=offset_group, **GEOMETRY)
