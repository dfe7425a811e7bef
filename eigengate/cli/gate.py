"""``eigengate gate``: judge a report that exists already."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from eigengate.cli.exit_codes import of_verdict
from eigengate.cli.failure import explained
from eigengate.cli.output import write_text
from eigengate.cli.render import verdict_table
from eigengate.cli.report_file import read_report
from eigengate.cli.terminal import stdout
from eigengate.contract import Policy, StabilityReport
from eigengate.gate import condition_lines, judge, load_policy, preset_text, to_junit, to_markdown, to_sarif
from eigengate.gate.presets import PREFIX
from eigengate.page import render_html


def gate(
    report: Annotated[Path, typer.Argument(help="The report of an audit (JSON); - for standard input.")],
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="A policy file, or builtin:recommended|strict|observe.")
    ],
    baseline: Annotated[Path | None, typer.Option(help="The report that regression conditions compare with.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write the verdict as SARIF 2.1.0.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdict as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write report and verdict as one HTML page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the verdict as JSON.")] = None,
) -> None:
    """Judge a report under a policy. Exit code: 0 pass, 1 fail, 2 usage or policy error, 5 indeterminate."""
    gate_report(
        read_report(report), policy, baseline, html, junit=junit, sarif=sarif, markdown=markdown, verdict_json=json
    )


def gate_report(
    report: StabilityReport,
    policy: str,
    baseline: Path | None = None,
    html: Path | None = None,
    *,
    junit: Path | None = None,
    sarif: Path | None = None,
    markdown: Path | None = None,
    verdict_json: Path | None = None,
) -> NoReturn:
    """Judge ``report``, show the verdict, write it in every form that a path was given for, and leave with its code."""
    with explained():
        rules = load_policy(policy)
        verdict = judge(report, rules, read_baseline(rules, policy, baseline))
        if junit:
            write_text(junit, to_junit(verdict))
        if sarif:
            lines = condition_lines(_policy_bytes(policy))
            write_text(sarif, to_sarif(verdict, policy_path=Path(policy).as_posix(), lines=lines))
        if markdown:
            write_text(markdown, to_markdown(verdict, report))
        if html:
            write_text(html, render_html(report, verdict))
        if verdict_json:
            write_text(verdict_json, verdict.model_dump_json(indent=2) + "\n")
    stdout().print(verdict_table(verdict))
    raise typer.Exit(of_verdict(verdict))


def read_baseline(policy: Policy, source: str, given: Path | None) -> StabilityReport | None:
    """The report to compare with: the one given, else the policy's ``file:PATH`` if that file is there."""
    if given is not None:
        return read_report(given)
    if policy.baseline.ref is None:
        return None
    path = Path(source).parent / policy.baseline.ref.removeprefix("file:")
    # A first run has no baseline yet; the policy's if_none says what that means.
    return read_report(path) if path.is_file() else None


def _policy_bytes(source: str) -> bytes:
    if source.startswith(PREFIX):
        return preset_text(source.removeprefix(PREFIX)).encode()
    return Path(source).read_bytes()
