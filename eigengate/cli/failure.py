"""How a command ends when something is wrong: one readable message, one exit code (design 3.2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from eigengate.cli.exit_codes import ExitCode
from eigengate.cli.terminal import plain, stderr
from eigengate.errors import ConfigError, EigengateError, InputError, PolicyError


def exit_code(error: EigengateError) -> ExitCode:
    """Whose fault it was, as a number: the command's (2), the input's (3), or nobody's, so try again (4)."""
    if isinstance(error, ConfigError | PolicyError):
        return ExitCode.USAGE
    if isinstance(error, InputError):
        return ExitCode.INPUT
    return ExitCode.INFRASTRUCTURE


@contextmanager
def explained() -> Iterator[None]:
    """Turn an ``EigengateError`` into its message on stderr and its exit code."""
    try:
        yield
    except EigengateError as error:
        show(error)
        raise typer.Exit(exit_code(error)) from error


def show(error: EigengateError) -> None:
    """Title, what happened, what to do, and the facts that are a list."""
    console = stderr()
    console.print(plain(error.title, "bold red"), plain(f"({error.code})", "dim"), soft_wrap=True)
    console.print(plain(error.detail), soft_wrap=True)
    for node in error.context.get("nodes", []):
        where = f"{node.get('domain') or 'ai.onnx'}::{node.get('operator')}"
        version = f" version {node['version']}" if node.get("version") else ""
        console.print(plain(f"  • {node.get('name')}: {where}{version}"), soft_wrap=True)
    if error.hint:
        console.print(plain("What to do:", "bold"), plain(error.hint), soft_wrap=True)
