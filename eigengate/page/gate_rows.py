"""The gate's table: every condition, worst first, with a picture of how far the number is from its threshold."""

from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from eigengate.contract import ConditionResult, Verdict
from eigengate.gate import worst_first
from eigengate.page.pictures.bullet import bullet


@final
@dataclass(frozen=True)
class GateRow:
    """A condition's result, the word and colour for it, and its bullet picture."""

    result: ConditionResult
    word: str
    tone: str
    picture: Markup


def gate_rows(verdict: Verdict) -> tuple[GateRow, ...]:
    """One row per condition; a failed condition that only warns is called a warning."""
    return tuple(
        GateRow(
            result=result,
            word=result.status if result.effect in (None, "pass", "fail") else str(result.effect),
            tone=result.effect or "none",
            picture=bullet(result),
        )
        for result in worst_first(verdict.conditions)
    )
