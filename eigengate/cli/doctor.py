"""``eigengate doctor``: what works on this machine."""

import importlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import typer
from rich.table import Table

from eigengate.cli.exit_codes import ExitCode
from eigengate.cli.failure import explained
from eigengate.cli.starting import starting
from eigengate.cli.terminal import stdout
from eigengate.versions import versions

Finding = tuple[bool | None, str]  # fine, not fine, or merely absent; and the words


def doctor() -> None:
    """Check devices, libraries, sandbox, database and broker of this machine, and say what is missing.

    Exit codes: 0 everything needed works · 2 settings that make no sense · 4 something needed does not.
    """
    from service.settings import Settings

    with explained(), starting():
        Settings()
    checks: dict[str, Callable[[], Finding]] = {
        "libraries": _libraries,
        "devices": _devices,
        "sandbox": _sandbox,
        "free disk": _disk,
        "database": _database,
        "broker": _broker,
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    findings = {name: check() for name, check in checks.items()}
    for name, (fine, words) in findings.items():
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]–[/]"}[fine]
        table.add_row(mark, f"[bold]{name}[/]", words)
    stdout().print(table)
    if any(fine is False for fine, _ in findings.values()):
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def _libraries() -> Finding:
    missing = []
    for name in ("torch", "onnx", "onnxruntime", "numpy", "scipy"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        return False, f"cannot import {', '.join(missing)}; install eigengate[engine]"
    return True, ", ".join(f"{name} {number}" for name, number in versions().items())


def _devices() -> Finding:
    try:
        import torch
    except ImportError:
        return False, "torch is not installed"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cpu = f"cpu with {os.cpu_count()} cores"
    return True, f"{cpu}; {', '.join(names)}" if names else f"{cpu}; no CUDA device, audits run on the CPU"


def _sandbox() -> Finding:
    return True, "own process per audit, scrubbed environment, resource limits; system-call jail not in this version"


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return free > 2**30, f"{free / 2**30:.1f} GiB here"


def _database() -> Finding:
    from service.database import Database
    from service.settings import Settings

    settings = Settings()
    try:
        if settings.database_url is None:
            with tempfile.TemporaryDirectory() as folder, sqlite3.connect(Path(folder) / "probe.db") as connection:
                mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            return mode == "wal", f"embedded SQLite {sqlite3.sqlite_version}, journal mode {mode}"
        Database(settings.database_url).ping()
    except Exception as error:
        return False, f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return True, "reachable (EIGENGATE_DATABASE_URL)"


def _broker() -> Finding:
    from service.settings import Settings

    url = Settings().broker_url
    if url.startswith("memory://"):
        return None, "memory://, inside `eigengate serve`; set EIGENGATE_BROKER_URL for separate workers"
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=2).ping()
    except (redis.RedisError, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"
    return True, "reachable (EIGENGATE_BROKER_URL)"
