"""Sampling of images, from before the standard had it."""

from torch import Tensor

from eigengate.loading.onnx.ops._microsoft import MICROSOFT
from eigengate.loading.onnx.ops.grid_sample import grid_sample
from eigengate.loading.onnx.registry import operator


@operator("GridSample", domain=MICROSOFT)
def grid_sample_before_the_standard(
    x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "bilinear", padding_mode: str = "zeros"
) -> Tensor:
    """The standard's ``GridSample`` of version 16: images [n, c, h, w] at the points of a grid [n, h', w', 2]."""
    result: Tensor = grid_sample(x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode)
    return result
