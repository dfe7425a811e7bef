"""Seconds per stage as horizontal bars."""

from collections.abc import Sequence

from markupsafe import Markup

from eigengate.contract import StageCost
from eigengate.page.pictures.svg import Canvas

WIDTH, LEFT, ROW = 520.0, 150.0, 24.0


def cost_bars(stages: Sequence[StageCost]) -> Markup:
    """One bar per stage, in order."""
    longest = max((stage.seconds for stage in stages), default=0.0) or 1.0
    in_words = ", ".join(f"{stage.name} {stage.seconds:.1f} s" for stage in stages)
    canvas = Canvas(WIDTH, ROW * len(stages) + 8, f"Seconds per stage: {in_words}")
    for row, stage in enumerate(stages):
        y = 4 + ROW * row
        width = (WIDTH - LEFT - 70) * stage.seconds / longest
        canvas.text((LEFT - 8, y + 15), stage.name.replace("_", " "), "tick", "end")
        canvas.bar((LEFT, y + 4), max(1.0, width), ROW - 9, "fill-1")
        canvas.text((LEFT + width + 7, y + 15), f"{stage.seconds:.2f} s", "tick")
    return canvas.markup()
