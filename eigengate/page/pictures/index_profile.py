"""The components of the stability index as dots on a common logarithmic scale, with thresholds."""

from collections.abc import Mapping

from markupsafe import Markup

from eigengate.contract import IndexReport, IndexVariant
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import Linear
from eigengate.page.pictures.svg import Canvas, horizontal_axis

READS = {
    "forward": "worst input perturbation",
    "parameter": "parameter perturbation",
    "training": "conditioning of training",
    "curvature": "loss curvature",
}
WIDTH, LEFT, ROW, TOP = 960.0, 190.0, 44.0, 30.0


def index_profile(index: IndexReport, thresholds: Mapping[str, float]) -> Markup:
    """A row per component and one for the index: filled dots for the first variant, rings for the second."""
    variants = [variant for variant in index.variants if variant.name != "gmsi-raw"][:2]
    names = [component.name for component in variants[0].components] if variants else []
    everything = [v for variant in variants for v in (variant.value, *(c.value for c in variant.components))]
    values = [value for value in everything if value is not None]
    low, high = min([0.0, *values]), max([4.0, *values, *thresholds.values()])
    scale = Linear(low - 0.3, high + 0.3, LEFT, WIDTH - 24)
    bottom = TOP + ROW * (len(names) + 1)
    canvas = Canvas(WIDTH, bottom + 38, f"Components of the stability index: {_in_words(variants)}")
    horizontal_axis(canvas, scale, TOP, bottom, "log10 gain, less stable →")
    _legend(canvas, variants, bool(thresholds))
    for row, name in enumerate([*names, "gmsi"]):
        y = TOP + ROW * (row + 0.5)
        _label(canvas, name, y)
        for order, variant in enumerate(variants):
            _dot(canvas, scale, _value(variant, name), y, headline=order == 0)
        if (threshold := thresholds.get(name)) is not None:
            canvas.line((scale(threshold), y - 14), (scale(threshold), y + 14), "threshold")
    return canvas.markup()


def _label(canvas: Canvas, name: str, y: float) -> None:
    if name == "gmsi":
        canvas.line((8, y - ROW / 2), (WIDTH - 24, y - ROW / 2), "rule")
    canvas.text((8, y - 1), "stability index" if name == "gmsi" else name, "name")
    canvas.text((8, y + 14), "weighted mean" if name == "gmsi" else READS.get(name, ""), "tick")


def _dot(canvas: Canvas, scale: Linear, value: float | None, y: float, *, headline: bool) -> None:
    if value is None:
        if headline:
            canvas.text((scale(0.0) + 8, y + 4), "undefined", "tick")
        return
    if headline:
        canvas.line((scale(0.0), y), (scale(value), y), "stem")
        canvas.dot((scale(value), y), 6.5, "fill-1")
        canvas.text((scale(value), y - 11), number(round(value, 2)), "value", "middle")
    else:
        canvas.dot((scale(value), y), 5, "ring-1")


def _legend(canvas: Canvas, variants: list[IndexVariant], has_thresholds: bool) -> None:
    x = LEFT
    for order, variant in enumerate(variants):
        canvas.dot((x + 6, 12), 5, "fill-1" if order == 0 else "ring-1")
        canvas.text((x + 16, 16), variant.name, "tick")
        x += 40 + 7 * len(variant.name)
    if has_thresholds:
        canvas.line((x + 6, 4), (x + 6, 20), "threshold")
        canvas.text((x + 14, 16), "threshold of the policy", "tick")


def _value(variant: IndexVariant, name: str) -> float | None:
    if name == "gmsi":
        return variant.value
    return next((component.value for component in variant.components if component.name == name), None)


def _in_words(variants: list[IndexVariant]) -> str:
    return ", ".join(f"{c.name} {number(c.value)}" for variant in variants[:1] for c in variant.components)
