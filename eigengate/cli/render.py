"""Reports and verdicts as tables for a terminal."""

from collections.abc import Iterable

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
    """The numbers to look at first; those that were not measured say why."""
    table = Table(title="Stability", title_justify="left", title_style="bold")
    table.add_column("Measurement", no_wrap=True)
    table.add_column("Value", justify="right", no_wrap=True)
    for column in ("Numerical error", "Sampling error", "Method"):
        table.add_column(column, style="dim")
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
        yield plain(f"{number(found.value)} {found.unit}".strip(), "bold")
    numerical, sampling = found.error.numerical, found.error.sampling
    width = interval(numerical.low, numerical.high) if numerical else ""
    yield plain(width or ("exact" if found.exact else ""))
    yield plain(interval(sampling.low, sampling.high) if sampling else "")
    yield plain(found.method)


def verdict_table(verdict: Verdict) -> RenderableType:
    """The outcome in a word and a sentence, every condition worst first, and advice on what did not pass."""
    conditions = worst_first(verdict.conditions)
    table = Table()
    table.add_column("Status", no_wrap=True)
    table.add_column("Condition", overflow="fold")
    for column in ("Metric", "Expected", "Actual", "Finding"):
        table.add_column(column, overflow="fold")
    for result in conditions:
        table.add_row(*_condition(result))
    advice = [
        plain(f"  {result.id}: ", "bold") + plain(result.advice)
        for result in conditions
        if result.advice and result.effect not in (None, "pass")
    ]
    return Group(
        banner(verdict),
        *([table] if conditions else []),
        *([plain("What to do", "bold"), *advice] if advice else []),
        *(plain("note: ", "bold yellow") + plain(warning) for warning in verdict.warnings),
    )


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
    yield plain(result.message)
