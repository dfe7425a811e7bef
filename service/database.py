"""The database: the record of every audit, and the queue. SQLite in WAL mode with one writer, or PostgreSQL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from alembic import command
from alembic.config import Config
from sqlalchemy import BigInteger, Connection, MetaData, create_engine, event, make_url, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import FunctionElement

_BUSY_SECONDS = 10
_RETRY_SECONDS = 0.02
_CONNECT_SECONDS = 5
_POOL_SECONDS = 10
_MIGRATIONS = Path(__file__).parent / "migrations"


class Base(DeclarativeBase):
    """Of every table. Constraints are named by rule, so that migrations can name them on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


@final
class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock in milliseconds since 1970: hosts may disagree about the time, one database cannot."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite_now(element: now_ms, compiler: Any, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql_now(element: now_ms, compiler: Any, **kw: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


@final
class Database:
    """One engine. Make it after forking, never before: connections cannot be shared between processes."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        sqlite = address.get_backend_name() == "sqlite"
        if sqlite and address.database:
            Path(address.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connect = {"timeout": _BUSY_SECONDS} if sqlite else {"connect_timeout": _CONNECT_SECONDS}
        self.engine = create_engine(
            address,
            connect_args=connect,
            pool_size=10,
            max_overflow=20,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=not sqlite,
        )
        if sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._reader = self.engine.execution_options(read_only_transaction=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write: committed at the end, rolled back on any exception."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads, and on SQLite waits for no writer."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Return if the database answers."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may call this at once."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('eigengate.migrations'))"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would begin late, and never IMMEDIATE
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # a 202 promises that the audit is on disk
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Switch to WAL; where others open a new file at the same time SQLite gives up at once, so the waiting is ours."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer; one that begins as a writer can.
    reading = connection.get_execution_options().get("read_only_transaction", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
