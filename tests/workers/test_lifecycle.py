"""From a bell to exactly one terminal status, whatever happens between."""

import errno
import threading
import time
from pathlib import Path

import pytest

from eigengate.contract import AuditConfig, Policy
from service.audits.repository import AuditRepository
from tests.support.bench import Bench
from tests.support.processes import is_gone, text_of, until

HANG = "open('pid', 'w').write(str(os.getpid())); time.sleep(60)"


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def start(lifecycle, audit_id):
    thread = threading.Thread(target=lifecycle.run, args=(audit_id,), daemon=True)
    thread.start()
    return thread


def child_of(bench, audit_id) -> int:
    """The process id of the audit's running child."""
    found = until(lambda: list(bench.folder.glob(f"work/{audit_id}*/pid")), what="a child")
    return int(text_of(found[0]))


def test_an_audit_runs_is_judged_and_told_of_in_order(bench):
    audit_id = bench.submit(
        "say(kind='stage', stage='sweep'); say(kind='progress', stage='sweep', done=1, total=2); leave_report()"
    )
    bench.lifecycle().run(audit_id)
    audit = bench.audit(audit_id)
    assert (audit.status, audit.attempt, audit.error) == ("succeeded", 1, None)
    assert audit.verdict is not None
    assert [event.kind for event in bench.events(audit_id)] == ["stage", "progress", "finished"]
    stored = bench.report(audit_id)
    assert '"outcome":"' + audit.verdict + '"' in stored.verdict
    assert list((bench.folder / "work").iterdir()) == []


def test_the_audit_s_own_policy_judges_it(bench):
    condition = {"id": "one", "metric": "model.accuracy", "op": ">=", "threshold": 0.9999}
    policy = Policy.model_validate({"schema": 1, "condition": [condition]})
    audit_id = bench.submit("leave_report()", policy=policy)
    bench.lifecycle().run(audit_id)
    assert bench.audit(audit_id).verdict == "fail"
    assert '"id":"one"' in bench.report(audit_id).verdict


def test_a_policy_that_cannot_be_applied_costs_the_verdict_but_not_the_report(bench):
    audit_id = bench.submit("leave_report()", policy=Policy.model_validate({"schema": 1, "extends": "builtin:nosuch"}))
    bench.lifecycle().run(audit_id)
    audit = bench.audit(audit_id)
    assert (audit.status, audit.verdict) == ("succeeded", None)
    assert any("nosuch" in getattr(event, "message", "") for event in bench.events(audit_id))


def test_a_second_bell_for_a_finished_audit_means_nothing(bench):
    audit_id = bench.submit("leave_report()")
    lifecycle = bench.lifecycle()
    lifecycle.run(audit_id)
    finished = bench.audit(audit_id)
    lifecycle.run(audit_id)
    assert bench.audit(audit_id) == finished
    lifecycle.run("aud_nosuch")


def test_five_bells_at_once_start_one_child(bench):
    audit_id = bench.submit("open('../../started', 'a').write('x'); time.sleep(0.5); leave_report()")
    threads = [start(bench.lifecycle(f"worker-{n}"), audit_id) for n in range(5)]
    for thread in threads:
        thread.join(20)
    assert bench.audit(audit_id).status == "succeeded"
    assert bench.audit(audit_id).attempt == 1
    assert (bench.folder / "started").read_text() == "x"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "model_crashed"),
        ("sys.exit(3)", "internal"),
        ("pass", "internal"),
        ("leave('not json')", "internal"),
        ("leave(json.dumps(report()).replace('4.2', 'NaN'))", "internal"),
        ("leave_report(extra=1)", "internal"),
        ("leave_report(schema_version='2.0')", "internal"),
        ("leave_report(model=json.load(open('probe'))['model'])", "internal"),
        ("os.symlink('/etc/passwd', 'report.json')", "internal"),
        ("os.mkfifo('report.json')", "internal"),
        ("leave('[' * 100000)", "internal"),
        ("say(kind='failed', code='probe_values', title='t', detail='d')", "probe_values"),
    ],
)
def test_a_deterministic_failure_is_told_by_its_code_and_never_retried(bench, script, code):
    audit_id = bench.submit(script)
    bench.lifecycle().run(audit_id)
    audit = bench.audit(audit_id)
    assert audit.error is not None
    assert (audit.status, audit.error.code, audit.attempt) == ("failed", code, 1)
    assert not audit.error.retriable
    assert bench.report(audit_id) is None
    assert list((bench.folder / "work").iterdir()) == []


def test_models_that_crash_one_after_another_leak_nothing(bench):
    lifecycle = bench.lifecycle()
    held = []
    for number in range(12):
        audit_id = bench.submit(f"n = {number}; say(kind='stage', stage='s'); os.kill(os.getpid(), signal.SIGSEGV)")
        lifecycle.run(audit_id)
        held.append((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
    assert held[-1] == held[2]  # the first ones open the database's connections
    assert list((bench.folder / "work").iterdir()) == []


def test_two_audits_run_side_by_side_in_one_worker(bench):
    meet = "open(f'../../{me}', 'w')\nwhile not os.path.exists(f'../../{other}'): time.sleep(0.01)\nleave_report()"
    lifecycle = bench.lifecycle()
    audits = [bench.submit(f"me, other = {pair!r}\n{meet}") for pair in (("a", "b"), ("b", "a"))]
    for thread in [start(lifecycle, audit_id) for audit_id in audits]:
        thread.join(20)
    assert [bench.audit(audit_id).status for audit_id in audits] == ["succeeded", "succeeded"]


def test_an_audit_over_its_time_limit_fails_as_timeout(bench):
    audit_id = bench.submit("time.sleep(60)", config=AuditConfig(time_limit_s=0.5))
    bench.lifecycle().run(audit_id)
    audit = bench.audit(audit_id)
    assert audit.error is not None
    assert (audit.status, audit.error.code) == ("failed", "timeout")
    assert "0.5 s" in audit.error.detail


def test_a_child_killed_from_outside_gets_a_second_attempt_and_no_third(bench):
    audit_id = bench.submit("os.kill(os.getpid(), signal.SIGKILL)")
    lifecycle = bench.lifecycle()
    lifecycle.run(audit_id)
    assert (bench.audit(audit_id).status, bench.audit(audit_id).attempt) == ("queued", 1)
    lifecycle.run(audit_id)
    audit = bench.audit(audit_id)
    assert audit.error is not None
    assert (audit.status, audit.error.code, audit.attempt) == ("failed", "worker_lost", 2)
    lifecycle.run(audit_id)
    assert bench.audit(audit_id) == audit


def test_a_stored_file_that_changed_is_not_run(bench):
    audit_id = bench.submit("leave_report()")
    sha256 = bench.audit(audit_id).model.sha256
    blob = next(bench.folder.glob(f"blobs/*/{sha256}"))
    blob.chmod(0o600)
    blob.write_bytes(b"leave_report(); leave_report()")
    bench.lifecycle().run(audit_id)
    audit = bench.audit(audit_id)
    assert audit.error is not None
    assert (audit.status, audit.error.code) == ("failed", "artifact_corrupt")


def test_a_full_disk_costs_an_attempt_and_not_the_audit(bench, monkeypatch):
    audit_id = bench.submit("leave_report()")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("workers.job_directory.materialise", full)
        bench.lifecycle().run(audit_id)
        assert (bench.audit(audit_id).status, bench.audit(audit_id).attempt) == ("queued", 1)
    bench.lifecycle().run(audit_id)
    assert bench.audit(audit_id).status == "succeeded"


def test_a_child_cannot_change_the_stored_file(bench):
    audit_id = bench.submit("os.chmod('model', 0o600); open('model', 'a').write('#'); leave_report()")
    stored = next(bench.folder.glob(f"blobs/*/{bench.audit(audit_id).model.sha256}"))
    before = stored.read_bytes()
    bench.lifecycle().run(audit_id)
    assert stored.read_bytes() == before


def test_a_running_audit_that_is_cancelled_is_dead_within_two_seconds(bench):
    audit_id = bench.submit(HANG)
    thread = start(bench.lifecycle(), audit_id)
    child = child_of(bench, audit_id)
    assert bench.cancel(audit_id)
    assert bench.audit(audit_id).status == "cancelling"
    assert is_gone(child, within=2)
    thread.join(5)
    assert bench.audit(audit_id).status == "cancelled"
    assert bench.events(audit_id)[-1].kind == "finished"


def test_a_queued_audit_that_is_cancelled_is_never_started(bench):
    audit_id = bench.submit(HANG)
    bench.cancel(audit_id)
    bench.lifecycle().run(audit_id)
    assert (bench.audit(audit_id).status, bench.audit(audit_id).attempt) == ("cancelled", 0)


def test_the_twin_of_a_silent_worker_wins_and_the_late_result_is_dropped(bench):
    audit_id = bench.submit(HANG)
    first = start(bench.lifecycle("first"), audit_id)
    child = child_of(bench, audit_id)
    with bench.database.session() as session:
        audits = AuditRepository(session, bench.settings.lease_terms)
        audits.reclaim_all()
        second = audits.claim(audit_id, "second")
    assert second is not None
    assert is_gone(child)
    first.join(5)
    audit = bench.audit(audit_id)
    assert (audit.status, audit.attempt) == ("running", 2)
    with bench.database.session() as session:
        assert AuditRepository(session).finish_cancelled(second)


def test_a_worker_that_cannot_reach_the_database_gives_its_audit_up_when_the_lease_is_over(bench, monkeypatch):
    audit_id = bench.submit(HANG)
    lifecycle = bench.lifecycle()
    thread = start(lifecycle, audit_id)
    child = child_of(bench, audit_id)

    def unreachable(*_):
        raise OSError("the database is away")

    monkeypatch.setattr(type(lifecycle.records), "beat", unreachable)
    assert is_gone(child, within=10)
    thread.join(5)
    assert bench.audit(audit_id).status == "running"  # and the sweeper's business now


def test_draining_hands_the_audit_back_uncharged_and_starts_no_other(bench):
    running, waiting = bench.submit(HANG), bench.submit("leave_report()")
    thread = start(bench.lifecycle(), running)
    child = child_of(bench, running)
    bench.drain.begin()
    assert is_gone(child)
    thread.join(5)
    bench.lifecycle().run(waiting)
    for audit_id in (running, waiting):
        assert (bench.audit(audit_id).status, bench.audit(audit_id).attempt) == ("queued", 0)


def test_a_chatty_child_fills_neither_the_record_nor_the_memory(bench):
    audit_id = bench.submit(
        """
for n in range(20000):
    say(kind="progress", stage="s", done=n, total=20000)
for n in range(1000):
    say(kind="log", message=str(n))
    say(kind="stage", stage=str(n))
leave_report()
"""
    )
    bench.lifecycle().run(audit_id)
    events = bench.events(audit_id)
    assert bench.audit(audit_id).status == "succeeded"
    kinds = [event.kind for event in events]
    assert kinds.count("log") == 200
    assert kinds.count("stage") == 200
    assert kinds.count("progress") < 200
    assert "dropped" in [event.message for event in events if event.kind == "log"][-1]


def test_a_lease_is_renewed_for_as_long_as_the_child_runs(bench):
    audit_id = bench.submit("time.sleep(2.5); leave_report()")  # longer than the lease
    thread = start(bench.lifecycle(), audit_id)
    while thread.is_alive():
        with bench.database.session() as session:
            assert AuditRepository(session, bench.settings.lease_terms).reclaim_expired().requeued == ()
        time.sleep(0.2)
    assert bench.audit(audit_id).status == "succeeded"
