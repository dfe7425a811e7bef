"""What came of one case."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from eigengate.errors import ModelLoadError, UnsupportedOperatorError
from tests.conformance.onnx_nodes.case import NodeCase, node_cases
from tests.conformance.onnx_nodes.derivatives import check_derivatives
from tests.conformance.onnx_nodes.exceptions import DERIVATIVES, FORWARD
from tests.conformance.onnx_nodes.forward import check_forward


@dataclass(frozen=True)
class Outcome:
    """``passed``; else ``refused`` when loading, ``excepted`` by name, or ``failed``, with the reason."""

    case: NodeCase
    status: str
    reason: str = ""


@cache
def forward_outcomes() -> tuple[Outcome, ...]:
    """Every case of the standard, run forward."""
    return tuple(_forward(case) for case in node_cases())


def derivative_outcomes() -> tuple[Outcome, ...]:
    """Every case that passes forward, with its derivatives; the status says what was checked."""
    return tuple(_derivatives(outcome.case) for outcome in forward_outcomes() if outcome.status == "passed")


def _forward(case: NodeCase) -> Outcome:
    try:
        program = case.program()
    except UnsupportedOperatorError as error:
        reasons = sorted({f"{node['operator']}: {node['reason']}" for node in error.context["nodes"]})
        return Outcome(case, "refused", "; ".join(reasons))
    except ModelLoadError as error:
        return Outcome(case, "refused", error.detail)
    try:
        check_forward(case, program)
    except Exception as error:
        named = named_reason(case, FORWARD)
        return Outcome(case, "excepted", named) if named else Outcome(case, "failed", _first_line(error))
    return Outcome(case, "passed")


def _derivatives(case: NodeCase) -> Outcome:
    try:
        return Outcome(case, check_derivatives(case, case.program()) or "no floating operand")
    except Exception as error:
        named = named_reason(case, DERIVATIVES)
        return Outcome(case, "excepted", named) if named else Outcome(case, "failed", _first_line(error))


def named_reason(case: NodeCase, exceptions: Mapping[str, str]) -> str | None:
    return next((reason for pattern, reason in exceptions.items() if re.search(pattern, case.name)), None)


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]
