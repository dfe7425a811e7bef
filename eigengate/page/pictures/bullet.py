"""How far a number is from its threshold: a dot with its error interval, and the threshold as a line."""

from markupsafe import Markup

from eigengate.contract import ConditionResult
from eigengate.gate.wording import number
from eigengate.page.pictures.scale import Linear, padded
from eigengate.page.pictures.svg import Canvas

WIDTH, HEIGHT = 150.0, 26.0


def bullet(result: ConditionResult) -> Markup:
    """Empty where there is neither a threshold nor a baseline to compare with."""
    mark = result.threshold if result.threshold is not None else result.baseline
    if result.actual is None or mark is None:
        return Markup("")
    low = result.low if result.low is not None else result.actual
    high = result.high if result.high is not None else result.actual
    edges = [result.actual, low, high, mark]
    scale = Linear(*padded([0.0, *edges] if min(edges) >= 0 else edges, 0.08), 4, WIDTH - 4)
    kind = "threshold" if result.threshold is not None else "baseline"
    canvas = Canvas(WIDTH, HEIGHT, f"value {number(result.actual)}, {kind} {number(mark)}")
    middle = HEIGHT / 2
    canvas.line((4, middle), (WIDTH - 4, middle), "grid")
    if result.op is not None:
        allowed = (4.0, scale(mark)) if result.op in ("<=", "<") else (scale(mark), WIDTH - 4)
        canvas.bar((allowed[0], middle - 3), allowed[1] - allowed[0], 6, "allowed")
    canvas.line((scale(mark), 3), (scale(mark), HEIGHT - 3), "threshold" if result.op else "rule")
    canvas.line((scale(low), middle), (scale(high), middle), "whisker")
    canvas.dot((scale(result.actual), middle), 4.5, f"tone-{result.effect or 'none'}")
    return canvas.markup()
