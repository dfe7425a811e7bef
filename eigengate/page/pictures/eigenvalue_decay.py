"""A spectrum that falls: eigenvalues against their rank, on a logarithmic scale."""

from markupsafe import Markup

from eigengate.contract import Spectrum
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import Linear, Logarithmic, decades
from eigengate.page.pictures.svg import Canvas, horizontal_axis, thinned, vertical_axis

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520.0, 300.0, 62.0, 34.0, 40.0


def eigenvalue_decay(title: str, spectrum: Spectrum) -> Markup:
    """Positive values as dots on a line; the mean as a dashed line, since dominance is the first value over it."""
    values = sorted(spectrum.values, reverse=True)
    positive = [value for value in values if value > 1e-10 * max(values[0], 5e-324)]
    mean = sum(positive) / len(values) if positive else 0.0
    x = Linear(1, max(2, len(values)), LEFT, WIDTH - 12)
    y = Logarithmic(*decades(positive), HEIGHT - BOTTOM, TOP)
    alt = f"{title}: {len(values)} values from {number(values[0])} down to {number(values[-1])}, mean {number(mean)}"
    canvas = Canvas(WIDTH, HEIGHT, alt)
    horizontal_axis(canvas, x, TOP, HEIGHT - BOTTOM, "k-th largest")
    vertical_axis(canvas, y, LEFT, WIDTH - 12, spectrum.kind.replace("_", " ")[:-1])
    points = [(x(k + 1), y(value)) for k, value in thinned(positive)]
    canvas.polyline(points, "curve-1")
    for point in points:
        canvas.dot(point, 3 if len(points) <= 60 else 1.8, "fill-1")
    if mean > 0:
        canvas.line((LEFT, y(mean)), (WIDTH - 12, y(mean)), "threshold")
        canvas.text((WIDTH - 14, y(mean) - 5), f"mean {number(mean)}", "tick", "end")
    return canvas.markup()
