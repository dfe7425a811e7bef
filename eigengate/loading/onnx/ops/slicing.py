"""Cutting tensors apart, joining and padding them."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Ints, Tensors, operator

_TORCH_MODES: Mapping[str, str] = {"edge": "replicate", "reflect": "reflect"}


@operator("Concat")
def concatenate(*parts: Tensor, axis: int = 1) -> Tensor:
    """The inputs one after the other along ``axis``; their other sizes agree."""
    return torch.cat(parts, axis)


@operator("Split")
def split_by_attribute(x: Tensor, *, axis: int = 0, split: Ints | None = None, outputs: int) -> Tensors:
    """X cut along ``axis`` into pieces of the sizes ``split``, or into as many equal ones as the node has outputs."""
    return _split(x, axis, split, outputs)


@operator("Split", since=13)
def split(
    x: Tensor, sizes: Ints | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int
) -> Tensors:
    """X cut along ``axis`` into pieces of the given sizes, or into as many equal ones as the node has outputs.

    The last of equal pieces may be smaller. Until version 13 the sizes were an attribute; 18 added ``num_outputs``.
    """
    return _split(x, axis, sizes, num_outputs or outputs)


def _split(x: Tensor, axis: int, sizes: Ints | None, parts: int) -> Tensors:
    if sizes is None:
        chunk = -(-x.shape[axis] // parts)
        sizes = (*[chunk] * (parts - 1), x.shape[axis] - chunk * (parts - 1))
    return torch.split(x, list(sizes), axis)


@operator("Slice")
def slice_by_attributes(x: Tensor, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    """The part of X from starts[i] up to before ends[i] along axes[i] (default: the first ones).

    Negative positions count from the end of an axis; those beyond it are clamped.
    """
    return _slice(x, starts, ends, axes, None)


@operator("Slice", since=10)
def slice_by_inputs(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None) -> Tensor:
    """Every steps[i]-th element of X from starts[i] up to before ends[i] along axes[i] (default: the first ones).

    Negative positions count from the end of an axis, those beyond it are clamped, negative steps go backwards. Until
    version 10 all but the steps were attributes.
    """
    return _slice(x, starts, ends, axes, steps)


def _slice(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None, steps: Ints | None) -> Tensor:
    axes = axes if axes is not None else tuple(range(len(starts)))
    steps = steps if steps is not None else (1,) * len(starts)
    forwards = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        # Python clamps a slice as ONNX does, but for one that goes backwards from before the first element.
        taken = range(*slice(max(start, -size), end, step).indices(size))
        if step < 0:
            x = torch.index_select(x, axis, torch.tensor(list(taken), dtype=torch.int64, device=x.device))
        else:
            forwards[axis] = slice(taken.start, max(taken.start, taken.stop), taken.step)
    return x[tuple(forwards)]


@operator("Pad", since=2)
def pad_by_attribute(x: Tensor, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    """X with pads[i] elements before and pads[rank + i] after it along axis i, negative ones taken away.

    They are ``value``, or by ``mode`` the ``edge`` repeated, or the elements before it in ``reflect``-ed order.
    """
    widths = _widths(x, pads, range(x.ndim))
    return F.pad(x, _flattened(widths, x.ndim), value=value) if mode == "constant" else _repeat(x, widths, mode)


@operator("Pad", since=11)
def pad(
    x: Tensor, pads: Ints, value: Tensor | None = None, axes: Ints | None = None, *, mode: str = "constant"
) -> Tensor:
    """X with pads[i] elements before and pads[len(axes) + i] after it along axes[i], negative ones taken away.

    They are ``constant_value`` (default: zero), or by ``mode`` the ``edge`` repeated, the elements before it in
    ``reflect``-ed order, or those of the other end (``wrap``). Until version 11 pads and value were attributes; 18
    added ``axes``, 19 ``wrap``.
    """
    widths = _widths(x, pads, range(x.ndim) if axes is None else axes)
    if mode != "constant":
        return _repeat(x, widths, mode)
    return F.pad(x, _flattened(widths, x.ndim)) if value is None else _surround(x, widths, value)


Widths = Mapping[int, tuple[int, int]]


def _widths(x: Tensor, pads: Ints, axes: "range | Ints") -> Widths:
    """By axis, how many elements are added before and after; only where any are."""
    pairs = zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
    return {axis % x.ndim: (before, after) for axis, before, after in pairs if before or after}


def _flattened(widths: Widths, rank: int) -> list[int]:
    return [width for axis in reversed(range(rank)) for width in widths.get(axis, (0, 0))]


def _surround(x: Tensor, widths: Widths, value: Tensor) -> Tensor:
    """Padding by a value that may itself be differentiated."""
    filling = value.to(x.dtype).reshape([1] * x.ndim)
    for axis, (before, after) in widths.items():
        x = _crop(x, axis, before, after)
        layers = [(*x.shape[:axis], max(width, 0), *x.shape[axis + 1 :]) for width in (before, after)]
        x = torch.cat([filling.expand(layers[0]), x, filling.expand(layers[1])], axis)
    return x


def _crop(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    first, last = max(-before, 0), x.shape[axis] - max(-after, 0)
    return x if last - first == x.shape[axis] else x.narrow(axis, first, max(last - first, 0))


def _repeat(x: Tensor, widths: Widths, mode: str) -> Tensor:
    """Padding by elements of X itself."""
    for axis, (before, after) in widths.items():
        x = _crop(x, axis, before, after)
    added = {axis: (max(before, 0), max(after, 0)) for axis, (before, after) in widths.items()}
    if _torch_repeats(x, added, mode):
        return F.pad(x, _flattened(added, x.ndim)[: 2 * (x.ndim - 2)], mode=_TORCH_MODES[mode])
    for axis, (before, after) in added.items():
        x = torch.index_select(x, axis, _sources(x.shape[axis], before, after, mode).to(x.device))
    return x


def _torch_repeats(x: Tensor, added: Widths, mode: str) -> bool:
    """Whether torch's own kernels, some times faster than a selection by index, can do it."""
    within = all(mode == "edge" or max(widths) < x.shape[axis] for axis, widths in added.items())
    spatial = 3 <= x.ndim <= 5 and min(added, default=0) >= 2 and x.numel() > 0
    return mode in _TORCH_MODES and x.is_floating_point() and spatial and within


def _sources(size: int, before: int, after: int, mode: str) -> Tensor:
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
