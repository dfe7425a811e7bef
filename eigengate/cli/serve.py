"""``eigengate serve``: the whole service in one process, no servers needed."""

import ipaddress
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from eigengate.cli.exit_codes import ExitCode
from eigengate.cli.failure import explained
from eigengate.cli.starting import starting
from eigengate.cli.terminal import stdout
from eigengate.errors import SettingsError


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="EIGENGATE_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", envvar="EIGENGATE_PORT")] = 8000,
    data_dir: Annotated[
        Path, typer.Option(help="Folder of the database and the files.", envvar="EIGENGATE_DATA_DIR")
    ] = Path(".eigengate"),
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen beyond this machine, though there is no authentication yet.")
    ] = False,
) -> None:
    """Run the API and a worker in this process, on files in one folder.

    Exit codes: 0 stopped as asked · 2 settings that make no sense · 4 it could not run.
    """
    with explained():
        _refuse_strangers(host, allow_remote=allow_remote)
        settings = _settings(host=host, port=port, data_dir=data_dir)
        _log_to_stderr()
        with starting():
            from eigengate.cli.embedded import EmbeddedServer

            stopped_as_asked = EmbeddedServer(settings).run(lambda address: _welcome(address, data_dir))
    if not stopped_as_asked:
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


def _refuse_strangers(host: str, *, allow_remote: bool) -> None:
    if not allow_remote and not _is_loopback(host):
        raise SettingsError(
            f"{host!r} may be reached from other machines, and this service has no authentication yet",
            hint="leave --host at 127.0.0.1, or put an authenticating proxy in front and add --allow-remote",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _settings(**chosen: Any) -> Any:
    from service.settings import Settings

    with starting():
        settings = Settings(**chosen)
    if settings.database_url is not None or not settings.broker_url.startswith("memory:"):
        raise SettingsError(
            "`eigengate serve` is one process with a database and a queue of its own",
            hint="unset EIGENGATE_DATABASE_URL and EIGENGATE_BROKER_URL, or run the API and `eigengate worker` apart",
        )
    return settings


def _welcome(address: str, data_dir: Path) -> None:
    console = stdout()
    console.print(f"[bold]Eigengate[/] is running at [bold cyan]{address}[/]")
    console.print(f"  first audit  eigengate audit MODEL PROBE --server {address}", soft_wrap=True)
    console.print(f"  API          {address}/openapi.json", soft_wrap=True)
    console.print(f"  data         {data_dir.absolute()}", soft_wrap=True)
    console.print("Ctrl+C stops it; running audits then wait for the next start.")
    console.file.flush()


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("celery", "uvicorn", "alembic", "service.requests"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("kombu").setLevel(logging.ERROR)  # it warns that a queue in memory has no host
