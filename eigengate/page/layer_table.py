"""Curvature by layer: where in the network the loss is sharp."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from eigengate.contract import LayerCurvature, StabilityReport
from eigengate.page.pictures.share_bar import share_bar

MOST_LAYERS = 200


@final
@dataclass(frozen=True)
class LayerRow:
    """A layer and what part of the trace of the whole Hessian it has, as a picture."""

    layer: LayerCurvature
    share: Markup


@final
@dataclass(frozen=True)
class LayerTable:
    """Rows in the order of the network, and how many are not shown."""

    rows: tuple[LayerRow, ...]
    hidden: int


def layer_table(report: StabilityReport) -> LayerTable | None:
    """The layers of the report, at most 200; null if it has none."""
    if not report.layers:
        return None
    return LayerTable(
        tuple(_rows(report.layers[:MOST_LAYERS], _total(report))), max(0, len(report.layers) - MOST_LAYERS)
    )


def _total(report: StabilityReport) -> float | None:
    """The sum of all traces; null where one is missing or it is not positive, so that shares mean nothing."""
    traces = [layer.trace.value for layer in report.layers]
    total = sum(trace for trace in traces if trace is not None)
    return total if None not in traces and total > 0 else None


def _rows(layers: Sequence[LayerCurvature], total: float | None) -> Iterator[LayerRow]:
    for layer in layers:
        trace = layer.trace.value
        yield LayerRow(layer, Markup("–") if total is None or trace is None else share_bar(trace / total))
