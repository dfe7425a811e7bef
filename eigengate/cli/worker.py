"""``eigengate worker``: a worker process on a broker and a database that it shares with the API."""

import logging
from enum import StrEnum
from typing import Annotated

import typer

from eigengate.cli.failure import explained
from eigengate.cli.starting import starting
from eigengate.cli.terminal import stdout
from eigengate.errors import SettingsError


class Pool(StrEnum):
    """Celery's pools that an audit can run from."""

    threads = "threads"
    prefork = "prefork"
    solo = "solo"


def worker(
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", "-c", min=1, help="Audits at once; one per GPU.", envvar="EIGENGATE_WORKER_CONCURRENCY"
        ),
    ] = 1,
    pool: Annotated[
        Pool,
        typer.Option(help="Celery pool; audits run in processes of their own in any.", envvar="EIGENGATE_WORKER_POOL"),
    ] = Pool.threads,
) -> None:
    """Run audits that the API queues. Settings come from the EIGENGATE_… variables, the same as the API's.

    SIGTERM lets running audits finish for EIGENGATE_WORKER_GRACE_S seconds, then hands them back to the queue.
    """
    with explained():
        status = _run(concurrency, pool)
    if status:
        raise typer.Exit(status)


def _run(concurrency: int, pool: Pool) -> int:
    from service.logs import log_to_stderr
    from service.settings import Settings
    from workers.crew import Crew
    from workers.settings import WorkerSettings
    from workers.standalone import StandaloneWorker

    with starting():
        settings = Settings()
    if settings.broker_url.startswith("memory:"):
        raise SettingsError(
            "a queue in memory does not reach a worker in another process",
            hint="set EIGENGATE_BROKER_URL to the API's Redis, or use `eigengate serve`, which has a worker inside",
        )
    log_to_stderr()
    for chatty in ("celery", "kombu", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with starting():
        crew = Crew(settings, WorkerSettings(concurrency=concurrency, pool=pool.value))
        crew.context.database.migrate()
    console = stdout()
    console.print(f"[bold]{crew.name}[/] waits for audits ({pool.value}, {concurrency} at once). Ctrl+C stops it.")
    console.file.flush()
    try:
        return StandaloneWorker(crew).run()
    finally:
        crew.drain.begin()
        crew.sweeper.stop()
        crew.close()
