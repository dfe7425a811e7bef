import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from service import migrations
from service.artifacts import tables as _artifacts  # noqa: F401 - brings the tables into the metadata
from service.audits import tables as _audits  # noqa: F401
from service.database import Base, Database
from tests.support.throwaway import postgres_url

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request, tmp_path):
    """A database that has just been migrated."""
    with nullcontext(f"sqlite:///{tmp_path / 'new.db'}") if request.param == "sqlite" else postgres_url() as url:
        database = Database(url)
        database.migrate()
        yield database
        database.close()


def test_migrations_make_the_schema_that_the_tables_describe(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        # Alembic does not compare these.
        for name, table in Base.metadata.tables.items():
            described = sorted(column.name for column in table.primary_key)
            assert sorted(inspect(connection).get_pk_constraint(name)["constrained_columns"]) == described


def test_migrating_again_changes_nothing(database):
    database.migrate()
    database.ping()


def test_several_processes_may_migrate_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    failures = []

    def migrate():
        database = Database(url)
        try:
            database.migrate()
        except Exception as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_schema_can_be_taken_down_again(database):
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_an_accepted_audit_survives_a_power_cut_on_sqlite(sqlite):
    """What a 202 promises: SQLite waits for the disk at each commit, and readers do not hold the writer up."""
    with sqlite.reading() as session:
        connection = session.connection()
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
        }
        assert pragmas == {"synchronous": 2, "journal_mode": "wal"}
        with sqlite.session() as writer:
            writer.connection().exec_driver_sql("DELETE FROM audits")


@pytest.mark.parametrize("again", [False, True])
def test_the_command_migrates_and_says_so(tmp_path, again):
    environment = {**os.environ, "EIGENGATE_DATABASE_URL": f"sqlite:///{tmp_path / 'new.db'}"}
    for _ in range(1 + again):
        done = subprocess.run(
            [sys.executable, "-m", "service.migrations"], env=environment, cwd=ROOT, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert "is at the newest revision" in done.stderr


def test_the_command_says_what_is_wrong_and_keeps_the_password():
    url = "postgresql+psycopg://user:hunter2@127.0.0.1:1/eigengate"
    done = subprocess.run(
        [sys.executable, "-m", "service.migrations"],
        env={**os.environ, "EIGENGATE_DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    assert "cannot be migrated" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
