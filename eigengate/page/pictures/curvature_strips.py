"""Spectra with two ends: every eigenvalue a mark on a signed logarithmic axis, one strip per matrix."""

from collections.abc import Sequence

from markupsafe import Markup

from eigengate.contract import Spectrum
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import SignedLogarithmic
from eigengate.page.pictures.svg import Canvas, horizontal_axis, thinned

WIDTH, TOP, STRIP = 520.0, 20.0, 92.0


def curvature_strips(spectra: Sequence[tuple[str, Spectrum]]) -> Markup:
    """Strips share the axis; the largest and the smallest value are written out."""
    values = [value for _, spectrum in spectra for value in spectrum.values]
    largest = max(abs(value) for value in values) or 1.0
    room = 1.5 * largest
    low = -room if min(values) < -1e-3 * largest else -1e-3 * largest
    scale = SignedLogarithmic(low, room, 16, WIDTH - 16, threshold=1e-3 * largest)
    bottom = TOP + STRIP * len(spectra)
    ends = "; ".join(f"{t} from {number(min(s.values))} to {number(max(s.values))}" for t, s in spectra)
    canvas = Canvas(WIDTH, bottom + 40, f"Eigenvalues: {ends}")
    horizontal_axis(canvas, scale, TOP, bottom, "eigenvalue, signed logarithmic")
    canvas.line((scale(0.0), TOP), (scale(0.0), bottom), "rule")
    for row, (title, spectrum) in enumerate(spectra):
        _strip(canvas, scale, title, sorted(spectrum.values), TOP + STRIP * row)
    return canvas.markup()


def _strip(canvas: Canvas, scale: SignedLogarithmic, title: str, values: list[float], top: float) -> None:
    canvas.text((16, top + 14), title, "name")
    for _, value in thinned(values, 400):
        canvas.line((scale(value), top + 46), (scale(value), top + 76), "mark-2" if value < 0 else "mark-1")
    canvas.text((scale(values[-1]), top + 39), number(values[-1]), "value", "middle")
    if values[0] < 0 and scale(values[-1]) - scale(values[0]) > 60:
        canvas.text((scale(values[0]), top + 39), number(values[0]), "value", "middle")
