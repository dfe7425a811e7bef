"""``eigengate audit``: measure a model here or on a service."""

from pathlib import Path
from typing import Annotated

import typer

from eigengate.cli.config_file import load_config
from eigengate.cli.failure import explained
from eigengate.cli.layer_table import layer_table
from eigengate.cli.local import audit_here, plan_here
from eigengate.cli.output import write_text
from eigengate.cli.plan_table import plan_table
from eigengate.cli.remote import audit_there
from eigengate.cli.render import headline_table
from eigengate.cli.terminal import stderr, stdout
from eigengate.contract import StabilityReport
from eigengate.errors import ConfigError

ModelFile = Annotated[Path, typer.Argument(help="TorchScript, ONNX or .pt2 file; the format is told by content.")]
ProbeFile = Annotated[Path, typer.Argument(help="Probe samples: .npz (x, optional y), .npy or .safetensors.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Audit settings as TOML, YAML or JSON.")]
Server = Annotated[str | None, typer.Option(help="Audit on the service at this URL instead of here.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write the report as one self-contained page.")]
OnlyPlan = Annotated[
    bool, typer.Option("--plan", help="Show what would be done and what it would cost; measure nothing.")
]
ReportFile = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report as JSON.")]


def audit(
    model: ModelFile,
    probe: ProbeFile,
    output: ReportFile = None,
    html: HtmlFile = None,
    config: ConfigFile = None,
    server: Server = None,
    plan: OnlyPlan = False,
) -> None:
    """Measure how stable a network is, and write the report.

    Exit codes: 0 measured · 2 usage or configuration error · 3 the input cannot be audited · 4 infrastructure or
    timeout.
    """
    with explained():
        if plan:
            show_plan(model, probe, config, server)
            return
        report = measured(model, probe, config, server)
        write_report(report, output, html)
    print_numbers(report)


def show_plan(model: Path, probe: Path, config: Path | None, server: str | None) -> None:
    """The routes and costs of an audit on this machine.

    Raises:
        ConfigError: a service plans for itself.
    """
    if server is not None:
        raise ConfigError("a plan is made for this machine, not for a service", hint="leave out --plan or --server")
    stdout().print(plan_table(plan_here(model, probe, load_config(config))))


def measured(model: Path, probe: Path, config: Path | None, server: str | None) -> StabilityReport:
    """The report, with progress on stderr so that stdout stays clean for pipes."""
    console = stderr()
    settings = load_config(config)
    if server is None:
        return audit_here(model, probe, settings, console)
    return audit_there(server, model, probe, settings, console)


def print_numbers(report: StabilityReport) -> None:
    """The headlines, and the layers where they were asked for."""
    stdout().print(headline_table(report))
    if (layers := layer_table(report)) is not None:
        stdout().print(layers)


def write_report(report: StabilityReport, output: Path | None, html: Path | None) -> None:
    if output is not None:
        write_text(output, report.model_dump_json(indent=2))
    if html is not None:
        from eigengate.page import render_html

        write_text(html, render_html(report))
