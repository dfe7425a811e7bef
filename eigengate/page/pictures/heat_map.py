"""Grids of numbers as small pictures: greys or true colours for inputs, blue to red around zero for attributions."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from eigengate.page.pictures.png import Colour, indexed_png, rgb_png

MOST_PIXELS = 112
_BLUE, _WHITE, _RED = (33, 102, 172), (247, 247, 247), (178, 24, 43)
GREYS: tuple[Colour, ...] = tuple((level, level, level) for level in range(256))


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + share * (y - x)) for x, y in zip(a, b, strict=True))
    return red, green, blue


DIVERGING: tuple[Colour, ...] = tuple(
    _mixed(_WHITE, _BLUE if k < 127.5 else _RED, abs(k - 127.5) / 127.5) for k in range(256)
)


@final
@dataclass(frozen=True)
class Grid:
    """``height`` x ``width`` cells of as many values each as there are channels, row by row."""

    height: int
    width: int
    cells: tuple[tuple[float, ...], ...]


def grid(values: Sequence[float], shape: Sequence[int]) -> Grid:
    """Lay out one sample: a sequence as one line, [H, W], [C, H, W] or [H, W, C] with few channels as a picture.

    Larger grids are thinned to 112 cells a side.
    """
    height, width, channels, first = _layout(shape, len(values))
    rows, columns = _kept(height), _kept(width)
    cells = tuple(
        tuple(
            values[c * height * width + r * width + k if first else (r * width + k) * channels + c]
            for c in range(channels)
        )
        for r in rows
        for k in columns
    )
    return Grid(len(rows), len(columns), cells)


def greys(cells: Grid, low: float, high: float) -> str:
    """Data URI: three channels are red, green and blue, other numbers of channels are averaged to grey."""
    span = high - low or 1.0

    def level(value: float) -> int:
        return round(255 * min(1.0, max(0.0, (value - low) / span)))

    if cells.cells and len(cells.cells[0]) == 3:
        return _uri(rgb_png(_rows(cells, [bytes(level(v) for v in cell) for cell in cells.cells])))
    return _uri(indexed_png(_rows(cells, [bytes((level(sum(c) / len(c)),)) for c in cells.cells]), GREYS))


def diverging(cells: Grid, scale: float) -> str:
    """Data URI: the sum over channels from -scale (blue) over 0 (white) to scale (red)."""
    span = scale or 1.0
    levels = [round(127.5 + 127.5 * max(-1.0, min(1.0, sum(cell) / span))) for cell in cells.cells]
    return _uri(indexed_png(_rows(cells, [bytes((level,)) for level in levels]), DIVERGING))


def _layout(shape: Sequence[int], size: int) -> tuple[int, int, int, bool]:
    if math.prod(shape) == size and len(shape) == 2:
        return shape[0], shape[1], 1, True
    if math.prod(shape) == size and len(shape) == 3 and min(shape[0], shape[2]) <= 4:
        first = shape[0] <= 4
        return (shape[1], shape[2], shape[0], True) if first else (shape[0], shape[1], shape[2], False)
    return 1, size, 1, True


def _kept(length: int) -> list[int]:
    step = max(1, math.ceil(length / MOST_PIXELS))
    return list(range(0, length, step))


def _rows(cells: Grid, pixels: Sequence[bytes]) -> list[bytes]:
    return [b"".join(pixels[r * cells.width : (r + 1) * cells.width]) for r in range(cells.height)]


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
