"""The deployed form: API and worker in processes of their own, PostgreSQL and Redis between them."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from tests.support.processes import until
from tests.support.server import ROOT, SETTINGS, Server

POSTGRES = os.environ.get("EIGENGATE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("EIGENGATE_TEST_REDIS", "redis://127.0.0.1:6379/15")


@contextmanager
def throwaway_database() -> Iterator[str]:
    """The address of a PostgreSQL database that is dropped in the end; skips where there is no server."""
    name = f"eigengate_{secrets.token_hex(6)}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception as error:
        pytest.skip(f"no PostgreSQL at {make_url(POSTGRES)!r}: {str(error).splitlines()[0]}")
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def require_redis(url: str) -> None:
    """Skip where there is no Redis."""
    try:
        redis.Redis.from_url(url, socket_connect_timeout=3).ping()
    except redis.ConnectionError as error:
        pytest.skip(f"no Redis at {url}: {error}")


@contextmanager
def deployed(folder: Path, broker: str = REDIS) -> Iterator[tuple[Server, subprocess.Popen]]:
    """The API, ready, and the worker's process."""
    require_redis(broker)
    with throwaway_database() as database, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        environment = {
            **os.environ,
            **SETTINGS,
            "EIGENGATE_DATABASE_URL": database,
            "EIGENGATE_BROKER_URL": broker,
            "EIGENGATE_DATA_DIR": str(folder / "data"),
            "EIGENGATE_PORT": str(port),
        }
        commands = [["-m", "service"], ["-m", "eigengate.cli", "worker"]]
        processes = [subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment) for command in commands]
        try:
            server = Server(processes[0], folder, f"http://127.0.0.1:{port}")
            until(lambda: _answers(server), what="the API to answer", within=60)
            yield server, processes[1]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _answers(server: Server) -> bool:
    try:
        return server.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
