"""A part of a whole as a horizontal bar with its percentage."""

from markupsafe import Markup

from eigengate.page.pictures.svg import Canvas

WIDTH, HEIGHT, LABEL = 150.0, 20.0, 48.0


def share_bar(share: float) -> Markup:
    """Full at 1 and beyond; a negative part, as traces of indefinite blocks can be, in another colour."""
    text = f"{100 * share:.1f} %"
    canvas = Canvas(WIDTH, HEIGHT, f"{text} of the whole")
    width = (WIDTH - LABEL) * min(abs(share), 1.0)
    canvas.bar((0, 4), max(1.0, width), HEIGHT - 8, "fill-1" if share >= 0 else "fill-2")
    canvas.text((WIDTH, 14), text, "tick", "end")
    return canvas.markup()
