"""Nodes that have no pure function here, collected and reported at once."""

from collections.abc import Sequence
from typing import Final, final

from eigengate.errors import ModelError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.exported.graph import Node
from eigengate.loading.torchscript.allowed import QUANTIZED_NAMESPACES, QUANTIZING_OPERATORS

_MOST_SHOWN: Final = 20


@final
class Refusal(Exception):  # noqa: N818 - it never leaves the compiler
    """A node has no pure function here."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refused(nodes: Sequence[tuple[Node, str]]) -> ModelError:
    """The error for nodes and the reasons why they may not run."""
    context = {
        "nodes": [
            {"name": node.label, "operator": node.operator, "domain": node.operator.partition("::")[0], "version": None}
            for node, _ in nodes
        ]
    }
    reasons = dict.fromkeys(f"{node.operator} ({reason})" for node, reason in nodes)
    listed = "; ".join(list(reasons)[:_MOST_SHOWN])
    if any(_is_quantized(node.operator) for node, _ in nodes):
        return QuantizedModelError(
            f"The model is quantised: {listed}",
            hint="Audit the floating point model it was made from.",
            context=context,
        )
    return UnsupportedOperatorError(
        f"{len(nodes)} node(s) cannot be turned into a differentiable function: {listed}",
        hint="Export the plain model in evaluation mode: torch.export.export(model.eval(), inputs).",
        context=context,
    )


def _is_quantized(operator: str) -> bool:
    return operator.partition("::")[0] in QUANTIZED_NAMESPACES or operator in QUANTIZING_OPERATORS
