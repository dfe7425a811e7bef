"""The whole service in one process: it finishes what it accepted, though it is killed in the middle."""

import signal
import time

import pytest

from service.audits.repository import AuditRepository
from tests.support.bench import Bench
from tests.support.processes import is_gone, until
from tests.support.server import finished, serving

# Runs for ever at first, and to its end the second time; keeps a note of every start.
HANG_ONCE = """
starts = "../../../starts"
with open(starts, "a") as notes:
    notes.write(f"{os.getpid()}\\n")
if len(open(starts).readlines()) == 1:
    time.sleep(60)
leave_report()
"""


def starts(bench) -> list[int]:
    path = bench.folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path / "data")
    yield bench
    bench.close()


def test_an_audit_survives_the_death_of_its_server_and_finishes_once(bench):
    audit_id = bench.submit(HANG_ONCE)
    with serving(bench.folder) as server:
        child = until(lambda: starts(bench), what="the audit to start")[0]
        assert server.get(f"/v1/audits/{audit_id}").json()["status"] == "running"
        server.kill()
        assert is_gone(child)
    began = time.monotonic()
    with serving(bench.folder) as server:
        audit = finished(server, audit_id, within=bench.settings.lease_seconds + 20)
        assert time.monotonic() - began < 25  # at once, and not when the lease of thirty seconds is over
        assert (audit["status"], audit["attempt"]) == ("succeeded", 2)
        assert len(starts(bench)) == 2
        assert [event.kind for event in bench.events(audit_id)] == ["finished"]
        assert server.terminate() == 0
    assert not list(bench.folder.glob("work/*/aud_*"))


def test_a_stopped_server_hands_its_audit_back_uncharged_and_leaves_nothing_running(bench):
    audit_id = bench.submit(HANG_ONCE)
    with serving(bench.folder) as server:
        child = until(lambda: starts(bench), what="the audit to start")[0]
        began = time.monotonic()
        assert server.terminate(signal.SIGINT) == 0
        assert time.monotonic() - began < 15
        assert is_gone(child)
        assert (bench.audit(audit_id).status, bench.audit(audit_id).attempt) == ("queued", 0)
        assert list(bench.folder.glob("work/*")) == []
        assert "Traceback" not in server.log.read_text()
    with serving(bench.folder) as server:
        assert finished(server, audit_id)["attempt"] == 1


def test_a_second_server_on_the_same_folder_is_refused_and_a_lost_bell_is_heard(bench):
    with serving(bench.folder) as server:
        with pytest.raises(AssertionError, match="another server is running"), serving(bench.folder):
            pass
        # Nobody rang for this one; the sweeper of the running server does.
        audit_id = bench.submit("leave_report()")
        with bench.database.session() as session:
            claim = AuditRepository(session).claim(audit_id, "nobody")
            assert claim is not None
            AuditRepository(session).release(claim)
        assert finished(server, audit_id)["status"] == "succeeded"
