"""``eigengate check``: audit and gate in one command, the line for a CI job."""

from pathlib import Path
from typing import Annotated

import typer

from eigengate.cli.audit import ConfigFile, HtmlFile, ModelFile, ProbeFile, ReportFile, Server, measured, print_numbers
from eigengate.cli.failure import explained
from eigengate.cli.gate import gate_report
from eigengate.cli.output import write_text

PolicyFile = Annotated[str, typer.Option("--policy", help="Policy file, or builtin:recommended|strict|observe.")]


def check(
    model: ModelFile,
    probe: ProbeFile,
    policy: PolicyFile = "builtin:recommended",
    baseline: Annotated[Path | None, typer.Option(help="Report to compare with.")] = None,
    output: ReportFile = None,
    html: HtmlFile = None,
    config: ConfigFile = None,
    server: Server = None,
) -> None:
    """Audit a network and judge it under a policy.

    Exit codes: 0 pass · 1 gate failed · 2 usage or policy error · 3 the input cannot be audited · 4 infrastructure or
    timeout · 5 indeterminate.
    """
    with explained():
        report = measured(model, probe, config, server)
        if output is not None:
            write_text(output, report.model_dump_json(indent=2))
    print_numbers(report)
    gate_report(report, policy, baseline, html)
