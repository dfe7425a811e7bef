"""The verdict as GitHub-flavoured Markdown: a step summary or a pull-request comment."""

import re

from eigengate.contract import ConditionResult, StabilityReport, Verdict
from eigengate.gate.order import worst_first
from eigengate.gate.wording import interval, number

_ICONS = {"pass": "✅", "warn": "⚠️", "fail": "❌", "indeterminate": "❔", None: "➖"}
_HEADLINES = (
    "index.gmsi",
    "attribution.robustness",
    "input_jacobian.operator_norm",
    "ntk.label_noise_gain",
    "hessian.lambda_max",
    "model.accuracy",
)


def to_markdown(verdict: Verdict, report: StabilityReport) -> str:
    """The outcome, every condition worst first, the headline numbers and what they belong to."""
    mode = " (inspect mode: shown, not enforced)" if verdict.mode == "inspect" else ""
    lines = [
        f"## {_ICONS[verdict.outcome]} Eigengate: {verdict.outcome}{mode}",
        "",
        _plain(verdict.summary),
        "",
        *(f"> ⚠️ {_plain(warning)}  " for warning in verdict.warnings),
        *([""] if verdict.warnings else []),
        "| | Condition | Metric | Expected | Actual | Baseline | Finding |",
        "|---|---|---|---|---|---|---|",
        *(_row(result) for result in worst_first(verdict.conditions)),
        "",
        "| Measurement | Value | Numerical error | Sampling error |",
        "|---|---|---|---|",
        *_headlines(report),
        "",
        f"Model `{report.model.sha256[:12]}` ({report.model.format}, {report.model.parameters.count:,} parameters) · "
        f"probe `{report.probe.sha256[:12]}` ({report.probe.used} of {report.probe.n} samples) · "
        f"policy `{verdict.policy_sha256[:12]}` · judged on {verdict.judged_on}",
    ]
    return "\n".join(lines) + "\n"


def _row(result: ConditionResult) -> str:
    actual = f"{number(result.actual)} {interval(result.low, result.high)}".strip()
    cells = (
        f"{_ICONS[result.effect]} {result.status}",
        result.id,
        f"`{result.metric}`",
        result.expected,
        actual,
        number(result.baseline),
        result.message,
    )
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _headlines(report: StabilityReport) -> list[str]:
    measured = {measurement.name: measurement for measurement in report.measurements}
    rows = []
    for name in _HEADLINES:
        if (found := measured.get(name)) is None:
            continue
        numerical, sampling = (
            interval(bars.low, bars.high) if bars else "" for bars in (found.error.numerical, found.error.sampling)
        )
        value = f"{number(found.value)} {found.unit}".strip() if found.value is not None else found.outcome
        rows.append(f"| `{name}` | {_plain(value)} | {numerical or ('exact' if found.exact else '')} | {sampling} |")
    return rows


def _plain(text: str) -> str:
    """Text that cannot become markup, a mention or a new table cell."""
    text = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([|\[\]*~#])", r"\\\1", text).replace("@", "@\u200b")
