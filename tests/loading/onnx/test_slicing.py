"""Cutting, joining, padding and reshaping: against onnxruntime at every version, and derivatives."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Smoothness, registered_operators
from tests.support.fixed_operands import agree, differentiate, normal, program, run

X = normal(3, 4, 5)
FARTHEST = 2**63 - 1


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


SLICES = (
    ([0, 1], [2, 3], [0, 1], [1, 1]),
    ([1], [FARTHEST], [-1], [2]),
    ([-3, 0], [-1, 2**31 - 1], [2, 0], [1, 1]),
    ([-1], [-FARTHEST], [1], [-1]),
    ([4, 2], [0, -9], [2, 0], [-2, -1]),
    ([-9], [1], [1], [1]),
    ([-9], [-10], [1], [-1]),  # clamped to the first element
    ([3], [2], [1], [1]),
    ([9], [99], [2], [1]),
)


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
@pytest.mark.parametrize("opset", [10, 11, 13])
def test_slices_are_those_of_onnxruntime(
    opset: int, starts: list[int], ends: list[int], axes: list[int], steps: list[int]
) -> None:
    agree("Slice", X, *(integers(*each) for each in (starts, ends, axes, steps)), opset=opset)
    agree("Slice", X, *(integers(*each) for each in (starts, ends, axes)), opset=opset)
    agree("Slice", X, integers(*starts), integers(*ends), opset=opset)


def test_slices_had_attributes_before_version_10() -> None:
    agree("Slice", X, opset=7, starts=[1, -2], ends=[FARTHEST, -1], axes=[2, 1])
    agree("Slice", X, opset=9, starts=[1, 0], ends=[2, 9])


MODES = [("constant", 11), ("edge", 11), ("reflect", 11), ("constant", 18), ("edge", 18), ("reflect", 18)]
LATE_MODES = [(mode, opset) for opset in (19, 21, 23, 25) for mode in ("constant", "edge", "reflect", "wrap")]


@pytest.mark.parametrize(("mode", "opset"), [*MODES, *LATE_MODES])
@pytest.mark.parametrize("pads", [(0, 1, 2, 2, 0, 1), (0, 0, 3, 0, 0, 2), (1, 0, 0, 2, 3, 0), (-1, 2, -2, 1, -1, 1)])
def test_padding_is_that_of_onnxruntime(pads: tuple[int, ...], mode: str, opset: int) -> None:
    x = normal(4, 5, 6)
    agree("Pad", x, integers(*pads), opset=opset, mode=mode)
    agree("Pad", x.reshape(1, 4, 5, 6), integers(0, *pads[:3], 0, *pads[3:]), opset=opset, mode=mode)
    if mode == "constant":
        agree("Pad", x, integers(*pads), np.array(1.5, dtype=np.float32), opset=opset)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int32, torch.int64, torch.float64], ids=str)
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_any_type_is_padded(mode: str, dtype: torch.dtype) -> None:
    x = (normal(2, 3, 4) * 5).to(dtype)
    value = np.ones((), dtype=x.numpy().dtype) if mode == "constant" else None
    agree("Pad", x, integers(0, 1, 2, 0, 2, 1), value, opset=21, mode=mode)


def test_padding_takes_axes_since_version_18_and_attributes_before_11() -> None:
    for mode in ("constant", "edge", "reflect"):
        agree("Pad", X, integers(1, 2, 0, 1), None, integers(-1, 1), opset=18, mode=mode)
        agree("Pad", X, opset=7, pads=[0, 1, 2, 1, 0, 1], mode=mode)
    agree("Pad", X, opset=10, pads=[0, 1, 2, 1, 0, 1], value=2.5)


def test_reflections_go_on_beyond_the_data_and_wraps_around_it() -> None:
    """onnxruntime refuses the former; numpy does both."""
    for mode in ("reflect", "wrap"):
        y = run("Pad", X, integers(0, 0, 11, 0, 9, 13), opset=19, mode=mode)
        wanted = np.pad(X.numpy(), ((0, 0), (0, 9), (11, 13)), mode=mode)  # type: ignore[call-overload]
        assert torch.equal(y, torch.from_numpy(wanted))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 5), (2, 2, 4, 5), (1, 2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("pads", [(2, 1, 1, 3), (-1, 2, 1, -2)])
def test_every_derivative_of_padding_is_right(pads: tuple[int, ...], shape: tuple[int, ...], mode: str) -> None:
    differentiate("Pad", normal(*shape), integers(*pads), None, integers(-2, -1), opset=19, mode=mode)


def test_the_value_of_the_padding_is_differentiated_too() -> None:
    x, value = normal(2, 3), torch.tensor(0.7)
    differentiate("Pad", x, integers(1, 0, 2, 1), value, opset=21)
    padded = program("Pad", x, integers(1, 0, 2, 1), value, opset=21)
    (slope,) = torch.autograd.grad(padded({}, x, value.requires_grad_())[0].sum(), value)
    assert slope == 5 * 4 - 2 * 3


@pytest.mark.parametrize("opset", [7, 11])
def test_pieces_had_attributes_before_version_13(opset: int) -> None:
    agree("Split", X, opset=opset, outputs=2, axis=1, split=[1, 3])
    agree("Split", X, opset=opset, outputs=2, axis=1)


def test_pieces_are_those_of_onnxruntime() -> None:
    agree("Split", X, integers(2, 0, 3), opset=13, outputs=3, axis=-1)
    agree("Split", X, opset=13, outputs=2, axis=1)
    agree("Split", X, opset=18, outputs=2, axis=2, num_outputs=2)
    agree("Split", X, opset=18, outputs=3, axis=1, num_outputs=3)
    differentiate("Split", X, integers(1, 4), opset=18, outputs=2, axis=2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_parts_are_joined_as_by_onnxruntime(axis: int) -> None:
    agree("Concat", X, X + 1, X[:], opset=13, axis=axis)
    differentiate("Concat", X, X + 1, opset=13, axis=axis)


RESHAPES: tuple[tuple[str, Tensor, tuple[np.ndarray, ...], int, dict[str, Any]], ...] = (
    ("Reshape", X, (integers(0, -1),), 7, {}),
    ("Reshape", X, (integers(-1, 0, 3),), 13, {}),
    ("Reshape", X, (integers(0, 0, 5, 1),), 25, {}),
    ("Reshape", X[:0], (integers(0, 3, 7),), 14, {"allowzero": 1}),
    ("Flatten", X, (), 7, {}),
    ("Flatten", X, (), 9, {"axis": 3}),
    ("Flatten", X, (), 13, {"axis": -1}),
    ("Flatten", X, (), 25, {"axis": 0}),
    ("Squeeze", X[:1, :, :1], (), 7, {}),
    ("Squeeze", X[:1, :, :1], (), 11, {"axes": [-1]}),
    ("Squeeze", X[:1, :, :1], (), 13, {}),
    ("Squeeze", X[:1, :, :1], (integers(-3, 2),), 25, {}),
    ("Unsqueeze", X, (), 7, {"axes": [3, 0]}),
    ("Unsqueeze", X, (), 11, {"axes": [-1, 1]}),
    ("Unsqueeze", X, (integers(-1, 1),), 13, {}),
    ("Transpose", X, (), 7, {}),
    ("Transpose", X, (), 25, {"perm": [1, 2, 0]}),
    ("Expand", X[:, :1], (integers(4, 1),), 8, {}),
    ("Expand", X[:, :1], (integers(2, 1, 1, 5),), 13, {}),
    ("Expand", X[:, :1], (integers(1),), 13, {}),
    ("Tile", X, (integers(2, 1, 3),), 7, {}),
    ("Tile", X, (integers(1, 0, 3),), 13, {}),
    ("DepthToSpace", normal(2, 8, 2, 3), (), 7, {"blocksize": 2}),
    ("DepthToSpace", normal(2, 8, 2, 3), (), 11, {"blocksize": 2, "mode": "CRD"}),
    ("DepthToSpace", normal(2, 8, 2, 3), (), 13, {"blocksize": 2, "mode": "DCR"}),
    ("SpaceToDepth", normal(2, 2, 4, 6), (), 7, {"blocksize": 2}),
    ("SpaceToDepth", normal(2, 2, 4, 6), (), 13, {"blocksize": 2}),
    ("Identity", X, (), 7, {}),
    ("Identity", X, (), 25, {}),
)


@pytest.mark.parametrize(("name", "x", "constants", "opset", "attributes"), RESHAPES, ids=lambda v: str(v)[:24])
def test_numbers_keep_their_values_under_another_shape(
    name: str, x: Tensor, constants: tuple[np.ndarray, ...], opset: int, attributes: dict[str, Any]
) -> None:
    agree(name, x.contiguous(), *constants, opset=opset, **attributes)
    if x.numel() and run(name, x, *constants, opset=opset, **attributes).numel():
        differentiate(name, x, *constants, opset=opset, **attributes)


def test_blocks_become_channels_in_either_order_since_version_28() -> None:
    """onnxruntime does not know that version; the way there and back is the identity, and torch knows one way."""
    x = normal(2, 3, 4, 6)
    for mode in ("DCR", "CRD"):
        deep = run("SpaceToDepth", x, opset=28, blocksize=2, mode=mode)
        assert torch.equal(run("DepthToSpace", deep, opset=28, blocksize=2, mode=mode), x)
    assert torch.equal(run("SpaceToDepth", x, opset=28, blocksize=2, mode="CRD"), F.pixel_unshuffle(x, 2))


@pytest.mark.parametrize(("start", "end"), [(None, None), (1, None), (-2, None), (None, -1), (-9, 9), (2, 1)])
def test_shapes_are_cut_as_by_onnxruntime(start: int | None, end: int | None) -> None:
    given = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
    for opset in (15, 19, 25):
        agree("Shape", X, opset=opset, **given)


def test_shapes_and_sizes_are_no_real_numbers() -> None:
    for opset in (7, 13):
        agree("Shape", X, opset=opset)
        agree("Size", X, opset=opset)
    declared = {op.name: op.smoothness for op in registered_operators() if op.name in ("Shape", "Size")}
    assert declared == {"Shape": Smoothness.NONE, "Size": Smoothness.NONE}


@pytest.mark.parametrize("axes", [None, [0, 2], [-1, 1]])
def test_the_centre_is_that_of_onnxruntime(axes: list[int] | None) -> None:
    given = {} if axes is None else {"axes": axes}
    for lengths in ((2, 7, 2), (6, 3, 8), (3, 4, 5), (1, 1, 10)):
        wanted = integers(*lengths[: len(axes) if axes else 3])
        agree("CenterCropPad", X, wanted, opset=18, **given)
        differentiate("CenterCropPad", X, wanted, opset=18, **given)
