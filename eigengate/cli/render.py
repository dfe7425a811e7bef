"""Reports and verdicts as tables for a terminal."""

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eigengate.cli.terminal import plain
from eigengate.contract import ConditionResult, Measurement, StabilityReport, Verdict
from eigengate.gate import worst_first
from eigengate.gate.wording import interval, number

HEADLINES = (
    "index.gmsi",
    "index.forward",
    "index.parameter",
    "index.training",
    "index.curvature",
    "attribution.robustness",
    "input_jacobian.operator_norm",
    "input_jacobian.typical_gain",
    "ntk.dominance",
    "ntk.label_noise_gain",
    "hessian.lambda_max",
    "hessian.max_stable_step",
    "model.accuracy",
)
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "indeterminate": "magenta"}


def headline_table(report: StabilityReport) -> Table:
    """The numbers to look at first; those that were not measured say why. Methods and the rest are in the report."""
    table = Table(title="Stability", title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=0)
    table.add_column("Measurement", no_wrap=True)
    table.add_column("Value", justify="right", no_wrap=True)
    table.add_column("Unit", style="dim", no_wrap=True)
    table.add_column("Error", style="dim", min_width=8, overflow="fold")
    table.add_column("Sampling 95 %", style="dim", no_wrap=True)
    measured = {measurement.name: measurement for measurement in report.measurements}
    for name in HEADLINES:
        if name in measured:
            table.add_row(*_headline(measured[name]))
    return table


def _headline(found: Measurement) -> Iterable[Text]:
    yield plain(found.name)
    if found.value is None:
        yield plain(found.outcome.replace("_", " "), "yellow")
    else:
        yield plain(number(found.value), "bold")
    yield plain(found.unit if found.value is not None else "")
    numerical, sampling = found.error.numerical, found.error.sampling
    if found.exact or numerical is None:
        yield plain("exact" if found.exact else "")
    else:
        yield plain(interval(numerical.low, numerical.high))
    yield plain(interval(sampling.low, sampling.high) if sampling else "")


def verdict_table(verdict: Verdict) -> RenderableType:
    """The outcome in a sentence, every condition worst first, and what to do about those that did not pass."""
    judged = [result for result in worst_first(verdict.conditions) if result.status not in ("skipped", "off")]
    unjudged: dict[str, list[str]] = {}
    for result in verdict.conditions:
        if result.status in ("skipped", "off"):
            unjudged.setdefault(result.message, []).append(result.id)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("", "Condition", "Metric", "Expected", "Actual"):
        table.add_column(column, overflow="fold")
    for result in judged:
        table.add_row(*_condition(result))
    return Group(
        banner(verdict),
        *([table] if judged else []),
        *(_finding(result) for result in judged if result.effect not in (None, "pass")),
        *(plain(f"not judged: {', '.join(ids)}: {message}", "dim") for message, ids in unjudged.items()),
        *(plain("note: ", "bold yellow") + plain(warning) for warning in verdict.warnings),
    )


def _finding(result: ConditionResult) -> Text:
    """Why a condition did not pass, and what to do about it."""
    advice = plain(f"\n    what to do: {result.advice}", "dim") if result.advice else plain("")
    return plain(f"  {result.id}: ", "bold") + plain(result.message) + advice


def banner(verdict: Verdict) -> Text:
    """One line: the outcome and its reason."""
    mode = " (inspect mode, not enforced)" if verdict.mode == "inspect" else ""
    outcome = plain(verdict.outcome.upper() + mode, f"bold {_COLOURS[verdict.outcome]}")
    return outcome + plain(f"  {verdict.summary}")


def _condition(result: ConditionResult) -> Iterable[Text]:
    word = result.effect if result.effect not in (None, "pass") else result.status
    yield plain(str(word).upper(), _COLOURS.get(result.effect or "", "dim"))
    yield plain(result.id)
    yield plain(result.metric)
    yield plain(result.expected)
    yield plain(f"{number(result.actual)} {interval(result.low, result.high)}".strip())
