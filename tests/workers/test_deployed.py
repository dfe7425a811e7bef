"""The deployed form: the API here, workers in processes of their own, PostgreSQL and Redis between them."""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from service.queue import CeleryDoorbell
from tests.support.bench import Bench
from tests.support.processes import is_gone, text_of, until
from tests.support.server import ROOT

POSTGRES = os.environ.get("EIGENGATE_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("EIGENGATE_TEST_REDIS", "redis://127.0.0.1:6379/15")

pytestmark = pytest.mark.servers

WORKER = """
import logging, sys
sys.path.insert(0, {root!r})
logging.basicConfig(level=logging.INFO)
from service.settings import Settings
from tests.support.bench import STAND_IN
from workers.crew import Crew
from workers.settings import WorkerSettings
from workers.standalone import StandaloneWorker
crew = Crew(Settings(), WorkerSettings(pool={pool!r}, threads=1, grace_s={grace}), STAND_IN)
try:
    status = StandaloneWorker(crew).run()
finally:
    crew.drain.begin()
    crew.sweeper.stop()
    crew.close()
sys.exit(status)
"""


@pytest.fixture
def postgres():
    """A database of the test's own."""
    name = f"eigengate_{secrets.token_hex(6)}"
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except Exception as error:
        pytest.skip(f"no PostgreSQL at {make_url(POSTGRES)!r}: {str(error).splitlines()[0]}")
    yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def broker():
    """The test's database number of Redis, empty."""
    client = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
    try:
        client.flushdb()
    except redis.ConnectionError as error:
        pytest.skip(f"no Redis at {REDIS}: {error}")
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def bench(tmp_path, postgres, broker):
    options = {"database_url": postgres, "broker_url": REDIS, "lease_seconds": 3, "sweep_seconds": 0.5}
    bench = Bench(tmp_path, options | {"bell_seconds": 1})
    yield bench
    bench.close()


@contextmanager
def working(bench, *, pool="threads", grace=0):
    chosen = {name: getattr(bench.settings, name) for name in ("database_url", "broker_url", "data_dir")}
    quick = {name: getattr(bench.settings, name) for name in ("lease_seconds", "sweep_seconds", "bell_seconds")}
    environment = {f"EIGENGATE_{name.upper()}": str(value) for name, value in (chosen | quick).items()}
    log = bench.folder / "worker.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER.format(root=str(ROOT), pool=pool, grace=grace)],
            env={**os.environ, **environment},
            stderr=stderr,
        )
    with process:
        try:
            yield process
        except BaseException:
            sys.stderr.write(log.read_text())
            raise
        finally:
            process.kill()


def ring(bench, audit_id):
    assert CeleryDoorbell(REDIS).ring(audit_id, 0)


def over(bench, audit_id):
    return until(lambda: bench.audit(audit_id).finished_at and bench.audit(audit_id), what="the audit to finish")


@pytest.mark.parametrize("pool", ["threads", "prefork", pytest.param("solo", marks=pytest.mark.slow)])
def test_a_bell_wakes_a_worker_which_stops_when_told(bench, pool):
    bench.database.ping()
    with working(bench, pool=pool) as worker:
        first = bench.submit("leave_report()")
        ring(bench, first)
        assert over(bench, first).status == "succeeded"
        hanging = bench.submit("open('pid', 'w').write(str(os.getpid())); time.sleep(60)")
        ring(bench, hanging)
        child = int(text_of(until(lambda: list(bench.folder.glob("work/*/aud_*/pid")), what="a child")[0]))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        assert is_gone(child)
        assert (bench.audit(hanging).status, bench.audit(hanging).attempt) == ("queued", 0)


def test_the_audit_of_a_killed_worker_is_finished_by_the_next_though_the_broker_forgot_everything(bench, broker):
    audit_id = bench.submit(
        """
if not os.path.exists("../../../started"):
    open("../../../started", "w").write(str(os.getpid()))
    time.sleep(60)
leave_report()
"""
    )
    with working(bench) as worker:
        ring(bench, audit_id)
        child = int(text_of(bench.folder / "started"))
        worker.kill()
        worker.wait()
        assert is_gone(child)
    broker.flushdb()
    with working(bench):
        audit = over(bench, audit_id)
    assert (audit.status, audit.attempt) == ("succeeded", 2)


def test_a_worker_lets_its_audit_finish_within_the_grace(bench):
    audit_id = bench.submit("open('../../../started', 'w').write('x'); time.sleep(1); leave_report()")
    with working(bench, grace=20) as worker:
        ring(bench, audit_id)
        text_of(bench.folder / "started")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert bench.audit(audit_id).status == "succeeded"
