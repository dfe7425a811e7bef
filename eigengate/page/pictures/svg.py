"""Drawing in SVG: a canvas that escapes every text, and axes."""

from collections.abc import Iterable, Sequence
from typing import final

from markupsafe import Markup, escape

from eigengate.page.pictures.scale import Scale
from eigengate.page.visible import visible

Point = tuple[float, float]


@final
class Canvas:
    """Collects shapes; classes carry the colours, so that light and dark pages share a picture."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        self._width, self._height, self._alt = width, height, alt
        self._parts: list[Markup] = []

    def line(self, start: Point, end: Point, style: str) -> None:
        """A straight line."""
        self._parts.append(
            Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(style, *start, *end)
        )

    def polyline(self, points: Iterable[Point], style: str) -> None:
        """A line through points."""
        self._parts.append(Markup('<polyline class="{}" points="{}"/>').format(style, _joined(points)))

    def polygon(self, points: Iterable[Point], style: str) -> None:
        """A filled area."""
        self._parts.append(Markup('<polygon class="{}" points="{}"/>').format(style, _joined(points)))

    def dot(self, centre: Point, radius: float, style: str) -> None:
        """A circle."""
        self._parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(style, *centre, radius)
        )

    def bar(self, corner: Point, width: float, height: float, style: str) -> None:
        """A rectangle with its upper left corner."""
        self._parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>').format(
                style, *corner, width, height
            )
        )

    def text(self, at: Point, text: str, style: str = "", anchor: str = "start") -> None:
        """One line of text; ``anchor`` is start, middle or end."""
        self._parts.append(
            Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                style, *at, anchor, visible(text)
            )
        )

    def markup(self) -> Markup:
        """The finished picture."""
        frame = Markup('<svg class="picture" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>')
        return frame.format(self._width, self._height, visible(self._alt), Markup("").join(self._parts))


def horizontal_axis(canvas: Canvas, scale: Scale, top: float, bottom: float, label: str = "") -> None:
    """Grid lines and numbers along the bottom."""
    for value, text in scale.ticks():
        x = scale(value)
        canvas.line((x, top), (x, bottom), "grid")
        canvas.text((x, bottom + 15), text, "tick", "middle")
    if label:
        canvas.text((scale.end, bottom + 31), label, "axis", "end")


def vertical_axis(canvas: Canvas, scale: Scale, left: float, right: float, label: str = "") -> None:
    """Grid lines and numbers along the left; the label stands above."""
    for value, text in scale.ticks():
        y = scale(value)
        canvas.line((left, y), (right, y), "grid")
        canvas.text((left - 6, y + 4), text, "tick", "end")
    if label:
        canvas.text((left - 6, scale.end - 9), label, "axis", "start")


def thinned(values: Sequence[float], most: int = 240) -> list[tuple[int, float]]:
    """At most ``most`` (index, value) pairs, evenly spread, first and last among them."""
    if len(values) <= most:
        return list(enumerate(values))
    places = sorted({round(k * (len(values) - 1) / (most - 1)) for k in range(most)})
    return [(place, values[place]) for place in places]


def _joined(points: Iterable[Point]) -> str:
    return str(escape(" ".join(f"{x:.1f},{y:.1f}" for x, y in points)))
