"""``eigengate policy``: start, check and explain policy files."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from eigengate.cli.exit_codes import ExitCode
from eigengate.cli.failure import explained
from eigengate.cli.output import write_text
from eigengate.cli.report_file import read_report
from eigengate.cli.terminal import plain, stdout
from eigengate.errors import PolicyError
from eigengate.gate import PRESETS, load_policy, policy_advice, preset_text, starter_policy
from eigengate.gate.wording import sentence

Source = Annotated[str, typer.Argument(help="A policy file, or builtin:recommended|strict|observe.")]

policy = typer.Typer(no_args_is_help=True, help="Start, check and explain policies.")


@policy.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the policy.")] = Path("eigengate.toml"),
    preset: Annotated[str, typer.Option(help=f"The preset to copy: {', '.join(PRESETS)}.")] = "recommended",
    report: Annotated[Path | None, typer.Option("--from", help="Write thresholds that this report passes.")] = None,
    headroom: Annotated[float, typer.Option(min=0.0, help="With --from: room above today's numbers.")] = 0.2,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a policy to start from: a copy of a preset, or thresholds from a report with headroom."""
    if path.exists() and not force:
        raise typer.BadParameter(f"{str(path)!r} exists already; --force replaces it")
    if report is None and preset not in PRESETS:
        raise typer.BadParameter(f"unknown preset {preset!r}; there are {', '.join(PRESETS)}")
    text = preset_text(preset) if report is None else starter_policy(read_report(report), headroom=headroom)
    with explained():
        write_text(path, text)
    stdout().print(plain(f"wrote {path}; try: eigengate policy explain {path}"))


@policy.command()
def lint(source: Source) -> None:
    """Check a policy: one line per mistake, with file, line and column. Exit code 2 if there is any."""
    console = stdout()
    try:
        rules = load_policy(source)
    except PolicyError as error:
        for mistake in error.context.get("mistakes") or [{"message": error.detail}]:
            console.print(plain(_mistake(source, mistake)), soft_wrap=True)
        raise typer.Exit(ExitCode.USAGE) from None
    for note in policy_advice(rules, datetime.now(UTC).date()):
        console.print(plain(f"{source}: note: {note}"), soft_wrap=True)
    console.print(plain(f"{source}: {len(rules.condition)} conditions, no mistakes"), soft_wrap=True)


def _mistake(source: str, mistake: dict[str, object]) -> str:
    line = mistake.get("line")
    place = f"{source}:{line}:{mistake['column']}" if line else source
    pointer = f"{mistake['pointer']}: " if mistake.get("pointer") else ""
    return f"{place}: {pointer}{mistake['message']}"


@policy.command()
def explain(source: Source) -> None:
    """Say in words what a policy demands, presets included."""
    with explained():
        rules = load_policy(source)
    console = stdout()
    enforced = "enforced" if rules.mode == "enforce" else "inspect mode: shown, the exit code is always 0"
    console.print(plain(f"{source}: {len(rules.condition)} conditions, {enforced}", "bold"))
    table = Table()
    for column in ("Condition", "Level", "Meaning"):
        table.add_column(column, overflow="fold")
    for condition in rules.condition:
        table.add_row(plain(condition.id), plain(condition.level), plain(sentence(condition)))
    console.print(table)
    if any(condition.baseline for condition in rules.condition):
        origin = rules.baseline.ref or "given by --baseline"
        console.print(plain(f"Baseline: {origin}; without one: {rules.baseline.if_none}."))
    for waiver in rules.waiver:
        text = f"{waiver.condition} until {waiver.expires} by {waiver.owner}: {waiver.reason}"
        console.print(plain("Waived: ", "bold") + plain(text))
