"""The ``eigengate`` command."""

from os import environ
from typing import Annotated

import typer

import eigengate
from eigengate.cli.audit import audit
from eigengate.cli.check import check
from eigengate.cli.compare import compare
from eigengate.cli.doctor import doctor
from eigengate.cli.failure import HonestGroup
from eigengate.cli.gate import gate
from eigengate.cli.ops import ops
from eigengate.cli.policy import policy
from eigengate.cli.serve import serve
from eigengate.cli.worker import worker

# onnxruntime reports model and graph names to its maker from the moment it is imported, unless told before.
environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Threads that spin while they wait starve each other wherever the machine has other work.
environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    name="eigengate",
    cls=HonestGroup,
    help="Is this network stable enough to ship? Spectral stability audits of TorchScript, ONNX and .pt2 models.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eigengate {eigengate.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Exit codes: 0 pass · 1 gate failed · 2 usage · 3 bad input · 4 infrastructure, try again · 5 indeterminate."""


MEASURE = "Measure and judge"
SERVE = "Run the service"
LOOK = "Find out"

app.command(rich_help_panel=MEASURE)(audit)
app.command(rich_help_panel=MEASURE)(gate)
app.command(rich_help_panel=MEASURE)(check)
app.command(rich_help_panel=MEASURE)(compare)
app.add_typer(policy, name="policy", rich_help_panel=MEASURE)
app.command(rich_help_panel=SERVE)(serve)
app.command(rich_help_panel=SERVE)(worker)
app.command(rich_help_panel=LOOK)(ops)
app.command(rich_help_panel=LOOK)(doctor)
