"""Indexing, padding, reshaping and sampling."""

import numpy as np

from tests.support.microsoft.arrays import Draws, int64
from tests.support.microsoft.case import MicrosoftCase as Case


def _cases() -> list[Case]:
    d = Draws("indexing")
    x, matrix = d.real(2, 3, 4), d.real(4, 5)
    widths, filling = int64(1, 0, 2, 1), d.real()
    return [
        Case("GatherND", "GatherND", (x, int64([0, 1], [1, 2]))),
        Case("GatherND of numbers from the end", "GatherND", (x, int64([[0, -1, 2]], [[-1, 2, -4]]).astype(np.int32))),
        *(Case(f"ExpandDims at {axis}", "ExpandDims", (x, np.int32(axis))) for axis in (0, 2, -1, -2)),
        Case("Trilu", "Trilu", (d.real(2, 3, 3),)),
        Case("Trilu, lower", "Trilu", (d.real(2, 3, 4), np.int64(1)), {"upper": 0}),
        *(
            Case(f"Pad, {mode}", "Pad", (matrix, widths), {"mode": mode})
            for mode in ("constant", "reflect", "edge", "wrap")
        ),
        Case("Pad with a value", "Pad", (matrix, widths, filling)),
        Case("Pad by a row of widths", "Pad", (matrix, widths[None])),
        Case("Pad by less than nothing", "Pad", (matrix, int64(-1, 0, 2, 1))),
        Case("UnfoldTensor", "UnfoldTensor", (x,), {"size": 3}),
        Case("UnfoldTensor in steps", "UnfoldTensor", (d.real(2, 7, 3),), {"dim": 1, "size": 3, "step": 2}),
    ]


def _plain_sample() -> tuple[np.ndarray, np.ndarray]:
    d = Draws("plain sample")
    return d.real(1, 1, 3, 3), 0.5 * d.real(1, 2, 2, 2)


def _samples() -> list[Case]:
    d = Draws("samples")
    # Some of the points lie outside of the image.
    image, grid = d.real(2, 2, 4, 5), 0.8 * d.real(2, 3, 4, 2)
    return [
        Case(
            f"GridSample, {mode}, {padding}{', corners aligned' * aligned}",
            "GridSample",
            (image, grid),
            {"mode": mode, "padding_mode": padding, "align_corners": aligned},
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ]


CASES = (*_cases(), *_samples(), Case("GridSample", "GridSample", _plain_sample()))
