"""Cosine of attributions against noise size, one line with its band per method."""

from collections.abc import Sequence

from markupsafe import Markup

from eigengate.contract import AttributionCurve
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import Linear, Logarithmic, decades
from eigengate.page.pictures.svg import Canvas, horizontal_axis, vertical_axis

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960.0, 340.0, 52.0, 170.0, 34.0, 42.0
COLOURS = 4


def attribution_curves(curves: Sequence[AttributionCurve]) -> Markup:
    """Lines are named at their ends; names that would overlap move apart."""
    sizes = [size for curve in curves for size in curve.noise_sizes]
    smallest = min(value for curve in curves for value in (*curve.cosine_low, *curve.cosine))
    lowest = next((floor for floor in (0.9, 0.8, 0.5, 0.0) if floor <= smallest), -1.0)
    x = Logarithmic(*decades(sizes), LEFT, WIDTH - RIGHT)
    y = Linear(lowest, 1.0, HEIGHT - BOTTOM, TOP)
    alt = "Cosine at the largest noise: " + ", ".join(f"{c.method} {number(c.cosine[-1])}" for c in curves)
    canvas = Canvas(WIDTH, HEIGHT, alt)
    horizontal_axis(canvas, x, TOP, HEIGHT - BOTTOM, "noise size relative to the spread of the data")
    vertical_axis(canvas, y, LEFT, WIDTH - RIGHT, "cosine")
    for place, curve in enumerate(curves):
        colour = 1 + place % COLOURS
        upper = [(x(s), y(v)) for s, v in zip(curve.noise_sizes, curve.cosine_high, strict=True)]
        lower = [(x(s), y(v)) for s, v in zip(curve.noise_sizes, curve.cosine_low, strict=True)]
        points = [(x(s), y(v)) for s, v in zip(curve.noise_sizes, curve.cosine, strict=True)]
        canvas.polygon([*upper, *reversed(lower)], f"band-{colour}")
        canvas.polyline(points, f"curve-{colour}")
        for point in points:
            canvas.dot(point, 3, f"fill-{colour}")
    _names(canvas, curves, y)
    return canvas.markup()


def _names(canvas: Canvas, curves: Sequence[AttributionCurve], y: Linear) -> None:
    ends = sorted((y(curve.cosine[-1]), place) for place, curve in enumerate(curves))
    free = 0.0
    for height, place in ends:
        curve, at = curves[place], max(height, free)
        free = at + 32
        canvas.text((WIDTH - RIGHT + 10, at + 2), curve.method.replace("_", " "), f"name text-{1 + place % COLOURS}")
        canvas.text((WIDTH - RIGHT + 10, at + 16), number(round(curve.cosine[-1], 3)), "tick")
