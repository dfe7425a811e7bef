"""Cutting tensors apart, joining and padding them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Tensors, operator


@operator("Concat")
def concatenate(*parts: Tensor, axis: int = 1) -> Tensor:
    return torch.cat(parts, axis)


@operator("Split")
def split_by_attribute(x: Tensor, *, axis: int = 0, split: Ints | None = None, outputs: int) -> Tensors:
    return _split(x, axis, split, outputs)


@operator("Split", since=13)
def split(
    x: Tensor, sizes: Ints | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int
) -> Tensors:
    return _split(x, axis, sizes, num_outputs or outputs)


def _split(x: Tensor, axis: int, sizes: Ints | None, parts: int) -> Tensors:
    if sizes is None:
        chunk = -(-x.shape[axis] // parts)
        sizes = (*[chunk] * (parts - 1), x.shape[axis] - chunk * (parts - 1))
    return torch.split(x, list(sizes), axis)


@operator("Slice")
def slice_by_attributes(x: Tensor, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    return _slice(x, starts, ends, axes, None)


@operator("Slice", since=10)
def slice_by_inputs(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None) -> Tensor:
    return _slice(x, starts, ends, axes, steps)


def _slice(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None, steps: Ints | None) -> Tensor:
    axes = axes if axes is not None else tuple(range(len(starts)))
    steps = steps if steps is not None else (1,) * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Python clamps the ends of a slice exactly as ONNX does.
        taken = range(*slice(start, end, step).indices(x.shape[axis]))
        if step < 0:
            x = torch.index_select(x, axis, torch.tensor(list(taken), dtype=torch.int64, device=x.device))
        else:
            whole = [slice(None)] * x.ndim
            whole[axis] = slice(taken.start, max(taken.start, taken.stop), taken.step)
            x = x[tuple(whole)]
    return x


@operator("Pad", since=2)
def pad_by_attribute(x: Tensor, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    return _pad(x, pads, range(x.ndim), mode, value)


@operator("Pad", since=11)
def pad(
    x: Tensor, pads: Ints, value: Tensor | None = None, axes: Ints | None = None, *, mode: str = "constant"
) -> Tensor:
    padded_axes = range(x.ndim) if axes is None else axes
    if value is None or mode != "constant":
        return _pad(x, pads, padded_axes, mode, 0.0)
    inside = _pad(torch.ones(x.shape, dtype=torch.bool, device=x.device), pads, padded_axes, mode, 0.0)
    return torch.where(inside, _pad(x, pads, padded_axes, mode, 0.0), value.reshape(()))


def _pad(x: Tensor, pads: Ints, axes: "range | Ints", mode: str, value: float) -> Tensor:
    befores, afters = pads[: len(axes)], pads[len(axes) :]
    widths = {axis % x.ndim: width for axis, *width in zip(axes, befores, afters, strict=True)}
    if mode == "constant":
        flat = [width for axis in reversed(range(x.ndim)) for width in widths.get(axis, (0, 0))]
        return F.pad(x, flat, value=value)
    for axis, (before, after) in widths.items():
        source = _source_positions(x.shape[axis], before, after, mode).to(x.device)
        x = torch.index_select(x, axis, source)
    return x


def _source_positions(size: int, before: int, after: int, mode: str) -> Tensor:
    """Which element each padded position repeats."""
    positions = torch.arange(-before, size + after)
    match mode:
        case "edge":
            return positions.clamp(0, size - 1)
        case "wrap":
            return positions % size
        case "reflect":
            period = max(2 * (size - 1), 1)
            folded = positions % period
            return torch.minimum(folded, period - folded) if size > 1 else torch.zeros_like(positions)
        case _:
            raise ValueError(f"unknown padding mode '{mode}'")
