"""Geometry of sliding windows: what convolutions and pools share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch.nn.functional as F
from torch import Tensor

from eigengate.loading.onnx.registry import Ints


@final
@dataclass(frozen=True)
class Window:
    """A window over the spatial axes; ``pads`` has the widths before every axis, then those after."""

    kernel: Ints
    strides: Ints
    dilations: Ints
    pads: Ints

    @property
    def befores(self) -> Ints:
        return self.pads[: len(self.kernel)]

    @property
    def afters(self) -> Ints:
        return self.pads[len(self.kernel) :]

    @property
    def is_torch_pool(self) -> bool:
        """Whether torch's pools, which pad evenly and by at most half a window, can do the padding themselves."""
        return self.befores == self.afters and all(
            0 <= pad <= size // 2 for pad, size in zip(self.befores, self.kernel, strict=True)
        )

    def extents(self) -> Ints:
        """How far a window reaches along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def pad(self, x: Tensor, value: float) -> Tensor:
        """The input with its padding, which may be uneven."""
        if not any(self.pads):
            return x
        return F.pad(x, interleaved(self.befores, self.afters), value=value)

    def rounded_up(self, spatial: Ints) -> "Window":
        """The window whose pads let the last, partial position count (``ceil_mode``).

        A position that would start beyond the input and its left padding does not count, as in torch.
        """
        afters = []
        for size, before, after, extent, stride in zip(
            spatial, self.befores, self.afters, self.extents(), self.strides, strict=True
        ):
            last = math.ceil((size + before + after - extent) / stride)
            if last * stride >= size + before:
                last -= 1
            afters.append(max(last * stride + extent - size - before, after))
        return Window(self.kernel, self.strides, self.dilations, (*self.befores, *afters))


def window(
    spatial: Ints, kernel: Ints, strides: Ints | None, dilations: Ints | None, pads: Ints | None, auto_pad: str
) -> Window:
    """A window from an operator's attributes, ``auto_pad`` resolved for the given spatial sizes."""
    rank = len(kernel)
    plain = Window(kernel, strides or (1,) * rank, dilations or (1,) * rank, pads or (0,) * 2 * rank)
    if auto_pad in ("NOTSET", ""):
        return plain
    if auto_pad == "VALID":
        return Window(kernel, plain.strides, plain.dilations, (0,) * 2 * rank)
    totals = [
        max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
        for size, stride, extent in zip(spatial, plain.strides, plain.extents(), strict=True)
    ]
    befores, afters = halves(totals, upper=auto_pad == "SAME_UPPER")
    return Window(kernel, plain.strides, plain.dilations, (*befores, *afters))


def halves(totals: Sequence[int], *, upper: bool) -> tuple[Ints, Ints]:
    """Widths before and after that share out a total evenly; of an odd one the upper, or lower, end gets more.

    What a negative total adds instead lies at the end, as in TensorFlow, where this way of padding comes from.
    """
    befores = tuple(max(total, 0) // 2 if upper else (max(total, 0) + 1) // 2 for total in totals)
    return befores, tuple(total - before for total, before in zip(totals, befores, strict=True))


def interleaved(befores: Ints, afters: Ints) -> list[int]:
    """Widths in the order of ``torch.nn.functional.pad``: last axis first."""
    pairs = list(zip(befores, afters, strict=True))
    return [width for pair in reversed(pairs) for width in pair]
