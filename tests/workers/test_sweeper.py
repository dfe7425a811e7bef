"""What the sweeper finds: lost bells, silent workers, audits that waited too long, directories of the dead."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.audits.repository import AuditRepository
from service.context import Context
from tests.support.bench import Bench
from tests.support.processes import until
from workers.file_lock import FileLock, LockHeldError
from workers.sweeper import Sweeper
from workers.work_root import WorkRoot


class Bell:
    """Remembers what it rang for; ``works`` says whether the broker is there."""

    def __init__(self):
        self.rung = []
        self.works = True

    def ring(self, audit_id, attempt):
        self.rung.append(audit_id)
        return True

    def ping(self):
        return self.works


@pytest.fixture
def bell():
    return Bell()


def surroundings(folder, bell, **options):
    bench = Bench(folder, {"bell_seconds": 0.01, **options})
    root = WorkRoot(folder / "roots")
    context = Context.open(bench.settings, doorbell=bell)
    return bench, Sweeper(context, root), context


def test_a_lost_bell_is_rung_again_and_the_audit_then_runs(tmp_path, bell):
    bench, sweeper, _ = surroundings(tmp_path, bell)
    audit_id = bench.submit("leave_report()")
    sweeper.ring_for_all()
    assert bell.rung == [audit_id]
    bench.lifecycle().run(bell.rung[0])
    assert bench.audit(audit_id).status == "succeeded"
    sweeper.ring_for_all()
    assert bell.rung == [audit_id]


def test_bells_do_not_count_as_rung_while_the_broker_is_away(tmp_path, bell):
    bench, sweeper, _ = surroundings(tmp_path, bell)
    audit_id = bench.submit("leave_report()")
    bell.works = False
    sweeper.ring_for_all()
    assert bell.rung == []
    bell.works = True
    sweeper.ring_for_all()
    assert bell.rung == [audit_id]


def test_the_audit_of_a_silent_worker_is_queued_again_and_given_up_after_the_last_attempt(tmp_path, bell):
    bench, sweeper, _ = surroundings(tmp_path, bell, lease_seconds=0.001)
    audit_id = bench.submit("leave_report()")
    for attempt in (1, 2):
        with bench.database.session() as session:
            assert AuditRepository(session, bench.settings.lease_terms).claim(audit_id, "doomed") is not None
        assert bench.audit(audit_id).attempt == attempt
        time.sleep(0.02)  # the lease has run out for every statement of the sweep
        sweeper.sweep()
    audit = bench.audit(audit_id)
    assert audit.error is not None
    assert (audit.status, audit.error.code, audit.error.retriable) == ("failed", "worker_lost", True)
    assert bell.rung == [audit_id]  # for the second attempt; there is no third


def test_an_audit_that_waited_too_long_expires(tmp_path, bell):
    bench, sweeper, _ = surroundings(tmp_path, bell, queue_retention_s=0.001)
    audit_id = bench.submit("leave_report()")
    sweeper.sweep()
    assert bench.audit(audit_id).status == "expired"


def test_files_that_no_audit_uses_are_thrown_away(tmp_path, bell):
    bench, sweeper, context = surroundings(tmp_path, bell, artifact_retention_s=0.001)
    kept, unused = bench.audit(bench.submit("leave_report()")).model.sha256, bench.store(b"nobody's")
    sweeper.sweep()
    assert context.store.stat(kept) is not None
    assert context.store.stat(unused) is None


def test_a_step_that_fails_does_not_keep_the_others_from_running(tmp_path, bell, caplog):
    bench, sweeper, _ = surroundings(tmp_path, bell, queue_retention_s=0.001)
    audit_id = bench.submit("leave_report()")
    bell.ping = lambda: 1 / 0
    (tmp_path / "roots" / "worker-0-dead").mkdir()
    sweeper.sweep()
    assert bench.audit(audit_id).status == "expired"
    assert not (tmp_path / "roots" / "worker-0-dead").exists()
    assert "_ring" in caplog.text


def test_a_started_sweeper_sweeps_until_it_is_stopped(tmp_path, bell):
    bench, sweeper, _ = surroundings(tmp_path, bell, sweep_seconds=0.02, queue_retention_s=0.001)
    audit_id = bench.submit("leave_report()")
    sweeper.start()
    until(lambda: bench.audit(audit_id).status == "expired", what="the audit to expire")
    sweeper.stop()


def test_directories_of_dead_workers_are_removed_and_those_of_living_ones_kept(tmp_path):
    mine = WorkRoot(tmp_path)
    script = f"""
import sys; sys.path.append({str(Path(__file__).resolve().parents[2])!r})
from pathlib import Path
from workers.work_root import WorkRoot
root = WorkRoot(Path({str(tmp_path)!r}))
(root.path / "job").mkdir()
print(root.path.name, flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        (mine.path / "mine").mkdir()
        assert mine.remove_stale() == []
        other.kill()
    assert mine.remove_stale() == [name]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [mine.path.name]
    mine.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_has_one_holder(tmp_path):
    with FileLock(tmp_path / "lock"), pytest.raises(LockHeldError, match="locked by another process"):
        FileLock(tmp_path / "lock")
    FileLock(tmp_path / "lock").release()
