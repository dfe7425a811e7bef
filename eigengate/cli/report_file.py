"""Reading a report that an audit wrote."""

import sys
from pathlib import Path

import typer
from pydantic import ValidationError

from eigengate.contract import StabilityReport


def read_report(path: Path) -> StabilityReport:
    """The report in ``path``, ``-`` for standard input; a file that is none is a usage error (exit 2)."""
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"the report {str(path)!r} cannot be read: {error.strerror or error}") from None
    try:
        return StabilityReport.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise typer.BadParameter(f"{str(path)!r} is not a stability report: {place}: {first['msg']}") from None
