"""How a command ends when something is wrong: one readable message, one exit code (design 3.2)."""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import typer
from typer.core import TyperGroup

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
        operator = str(node.get("operator"))
        where = operator if "::" in operator else f"{node.get('domain') or 'ai.onnx'}::{operator}"
        version = f" version {node['version']}" if node.get("version") else ""
        console.print(plain(f"  • {node.get('name')}: {where}{version}"), soft_wrap=True)
    if error.hint:
        console.print(plain("What to do:", "bold"), plain(error.hint), soft_wrap=True)


@final
class HonestGroup(TyperGroup):
    """Commands that leave with 4 when they break: Python's own 1 would say that the gate failed."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort) or _is_broken_pipe(error):
                raise  # these Typer understands
            traceback.print_exc()
            show(EigengateError(f"{type(error).__name__}: {error}", hint="please report this, with the lines above"))
            raise typer.Exit(ExitCode.INFRASTRUCTURE) from error


def _is_broken_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE
