"""Singular values of one Jacobian per sample: a median line and a quantile band over the samples."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from eigengate.contract import Spectrum
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import Linear, Logarithmic, decades
from eigengate.page.pictures.svg import Canvas, horizontal_axis, thinned, vertical_axis

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520.0, 300.0, 62.0, 34.0, 40.0


def singular_value_band(title: str, spectra: Sequence[Spectrum]) -> Markup:
    """Quantiles 5, 50 and 95 % of the k-th singular value, k along the axis, on a logarithmic scale."""
    longest = max(len(spectrum.values) for spectrum in spectra)
    columns = [[s.values[k] for s in spectra if k < len(s.values)] for k in range(longest)]
    low, median, high = ([_quantile(column, share) for column in columns] for share in (0.05, 0.5, 0.95))
    x = Linear(1, max(2, longest), LEFT, WIDTH - 12)
    # Values at the rounding floor would press the rest of the picture flat.
    y = Logarithmic(*decades(v for v in (*low, *median, *high) if v > 1e-7 * max(high)), HEIGHT - BOTTOM, TOP)
    alt = f"{title}: median singular values from {number(median[0])} down to {number(median[-1])}"
    canvas = Canvas(WIDTH, HEIGHT, alt)
    horizontal_axis(canvas, x, TOP, HEIGHT - BOTTOM, "k-th largest")
    vertical_axis(canvas, y, LEFT, WIDTH - 12, "singular value")
    upper = [(x(k + 1), y(value)) for k, value in thinned(high)]
    lower = [(x(k + 1), y(value)) for k, value in thinned(low)]
    middle = [(x(k + 1), y(value)) for k, value in thinned(median)]
    canvas.polygon([*upper, *reversed(lower)], "band-1")
    canvas.polyline(middle, "curve-1")
    if longest <= 40:
        for point in middle:
            canvas.dot(point, 3, "fill-1")
    return canvas.markup()


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
