"""``eigengate compare``: two reports side by side."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from eigengate.cli.report_file import read_report
from eigengate.cli.terminal import plain, stdout
from eigengate.gate import Comparison, MetricChange, compare_reports
from eigengate.gate.wording import number

_STYLES = {"less stable": "red", "stabler": "green", "changed": "yellow", "same": "dim", "not comparable": "dim"}
_COLUMNS = ("Measurement", "A", "B", "Change", "Relative", "Noise", "Assessment")


def compare(
    a: Annotated[Path, typer.Argument(help="The first report (JSON), the one to compare with.")],
    b: Annotated[Path, typer.Argument(help="The second report.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Show how the second report differs from the first, and what cannot be compared."""
    if json and markdown:
        raise typer.BadParameter("choose one of --json and --markdown")
    comparison = compare_reports(read_report(a), read_report(b))
    if json:
        typer.echo(comparison.model_dump_json(indent=2))
    elif markdown:
        typer.echo(comparison_markdown(comparison))
    else:
        stdout().print(comparison_table(comparison))


def comparison_table(comparison: Comparison) -> Table:
    """One row per metric; what must not be compared says why."""
    table = Table(title=f"A {comparison.a_model[:12]}   B {comparison.b_model[:12]}", title_justify="left")
    for column in _COLUMNS:
        numeric = column in _COLUMNS[1:-1]
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for change in comparison.changes:
        cells = _cells(change)
        table.add_row(*map(plain, cells[:-1]), plain(cells[-1], _STYLES[change.assessment]))
    return table


def comparison_markdown(comparison: Comparison) -> str:
    """The same as a Markdown table."""
    lines = [
        f"Model `{comparison.a_model[:12]}` (A) against `{comparison.b_model[:12]}` (B)",
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|---|--:|--:|--:|--:|--:|---|",
        *(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(change)) + " |"
            for change in comparison.changes
        ),
    ]
    return "\n".join(lines)


def _cells(change: MetricChange) -> list[str]:
    relative = "–" if change.relative is None else f"{100 * change.relative:+.3g} %"
    assessment = change.assessment + (f": {change.refused}" if change.refused else "")
    delta = "–" if change.change is None else f"{change.change:+.4g}"
    return [change.name, number(change.a), number(change.b), delta, relative, number(change.noise), assessment]
