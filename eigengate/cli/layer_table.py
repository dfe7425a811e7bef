"""Curvature by layer as a table for a terminal."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eigengate.cli.terminal import plain
from eigengate.contract import LayerCurvature, Measurement, StabilityReport
from eigengate.gate.wording import interval, number


def layer_table(report: StabilityReport) -> Table | None:
    """Ends and trace of every layer's block of the loss Hessian; null where they were not asked for."""
    if not report.layers:
        return None
    table = Table(title="Curvature by layer", title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=0)
    table.add_column("Layer", overflow="fold")
    for heading in ("Parameters", "λ_max", "", "λ_min", "", "Trace", ""):
        if heading:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, style="dim", overflow="fold")
    for layer in report.layers:
        table.add_row(*_cells(layer))
    return table


def _cells(layer: LayerCurvature) -> list[Text]:
    found = (layer.lambda_max, layer.lambda_min, layer.trace)
    numbers = [cell for measurement in found for cell in _number(measurement)]
    return [plain(layer.name), plain(f"{layer.parameters:,}"), *numbers]


def _number(found: Measurement) -> tuple[Text, Text]:
    """The value or why there is none, and its interval."""
    if found.value is None:
        return plain(found.outcome.replace("_", " "), "yellow"), plain("")
    bars = found.error.numerical
    width = interval(bars.low, bars.high) if bars else ""
    told = "" if found.outcome == "ok" else found.outcome.replace("_", " ")
    return plain(number(found.value)), plain(" ".join(filter(None, (width, told))))
