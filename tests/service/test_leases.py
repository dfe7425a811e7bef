"""Who may do what with an audit, on every database we support."""

import threading
from datetime import UTC, datetime

import pytest

from eigengate.contract import (
    ArtifactInfo,
    AuditError,
    AuditRequest,
    FinishedEvent,
    LogEvent,
    ProgressEvent,
    StageEvent,
)
from eigengate.gate import judge, load_policy
from service.artifacts.repository import ArtifactRepository
from service.audits import repository
from service.audits.lease import Bell, LeaseTerms, Reclaimed, RenewAnswer
from service.audits.repository import AuditRepository
from tests.support.reports import make_report

MODEL = ArtifactInfo(sha256="a" * 64, size=10, format="onnx")
PROBE = ArtifactInfo(sha256="b" * 64, size=20, format="npz")
ERROR = AuditError(code="model_crashed", title="The model crashed", detail="SIGSEGV")
LAPSED = LeaseTerms(seconds=-1)  # a lease that is over the moment it is given
TERMINAL = ("succeeded", "failed", "cancelled", "expired")


@pytest.fixture
def audits(database):
    return Audits(database)


class Audits:
    """Each call is one transaction of its own, as for separate processes."""

    def __init__(self, database, lease=None):
        self.database, self.lease = database, lease

    def __getattr__(self, name):
        def call(*arguments, **named):
            with self.database.session() as session:
                return getattr(AuditRepository(session, self.lease), name)(*arguments, **named)

        return call

    def with_lease(self, lease):
        return Audits(self.database, lease)

    def queue(self, **request):
        with self.database.session() as session:
            for artifact in (MODEL, PROBE):
                ArtifactRepository(session).record(artifact)
            return AuditRepository(session).create(AuditRequest(model=MODEL.sha256, probe=PROBE.sha256, **request))

    def status(self, audit_id):
        return self.get(audit_id).audit.status

    def ended(self, status):
        """An audit that reached a terminal status."""
        audit_id = self.queue()
        if status == "cancelled":
            self.cancel(audit_id)
        elif status == "expired":
            assert self.expire_queued(-1) == [audit_id]
        else:
            claim = self.claim(audit_id, "first")
            finish = {
                "succeeded": lambda: self.finish_succeeded(claim, "{}", None),
                "failed": lambda: self.finish_failed(claim, ERROR),
            }
            assert finish[status]()
        assert self.status(audit_id) == status
        return audit_id


def test_a_claim_carries_all_a_worker_needs_and_counts_the_attempt_first(audits):
    policy = load_policy("builtin:strict")
    audit_id = audits.queue(policy=policy, labels={"branch": "main"})
    claim = audits.claim(audit_id, "worker-1")
    assert (claim.audit_id, claim.worker, claim.attempt, claim.last_attempt) == (audit_id, "worker-1", 1, False)
    assert (claim.model, claim.probe, claim.policy) == (MODEL, PROBE, policy)
    shown = audits.get(audit_id).audit
    assert (shown.status, shown.attempt, shown.labels) == ("running", 1, {"branch": "main"})
    assert shown.created_at <= shown.started_at
    assert abs((datetime.now(UTC) - shown.started_at).total_seconds()) < 60  # the database's clock, in UTC


def test_of_many_who_claim_at_once_one_succeeds(audits):
    audit_id = audits.queue()
    start, claims = threading.Barrier(6), []

    def claim(name):
        start.wait()
        claims.append(audits.claim(audit_id, name))

    threads = [threading.Thread(target=claim, args=(f"worker-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == 6
    assert sum(claim is not None for claim in claims) == 1
    assert audits.get(audit_id).audit.attempt == 1


def test_an_unknown_audit_cannot_be_claimed(audits):
    assert audits.claim("aud_" + "0" * 32, "worker") is None


def test_an_expired_lease_goes_to_the_next_worker_and_the_late_twin_can_write_nothing(audits):
    audit_id = audits.queue()
    twin = audits.with_lease(LAPSED).claim(audit_id, "silent")
    claim = audits.claim(audit_id, "next")
    assert (claim.attempt, claim.last_attempt) == (2, True)
    assert audits.renew(twin) == RenewAnswer(still_mine=False, cancel_requested=False)
    assert not audits.record_event(twin, StageEvent(stage="late"))
    assert not audits.finish_succeeded(twin, "{}", None)
    assert not audits.finish_failed(twin, ERROR)
    assert not audits.finish_cancelled(twin)
    assert not audits.release(twin)
    assert not audits.retry(twin)
    assert audits.status(audit_id) == "running"
    assert audits.events(audit_id) == []
    assert audits.finish_succeeded(claim, "{}", None)


def test_a_worker_that_was_only_slow_keeps_its_audit_if_nobody_took_it(audits):
    claim = audits.with_lease(LAPSED).claim(audits.queue(), "slow")
    assert audits.renew(claim).still_mine
    assert audits.reclaim_expired() == Reclaimed((), (), ())
    assert audits.finish_succeeded(claim, "{}", None)


def test_the_third_start_never_happens(audits):
    audit_id = audits.queue()
    lapsing = audits.with_lease(LAPSED)
    assert [lapsing.claim(audit_id, "w").attempt for _ in range(2)] == [1, 2]
    assert lapsing.claim(audit_id, "w") is None
    assert audits.reclaim_expired() == Reclaimed(requeued=(), failed=(audit_id,), cancelled=())
    shown = audits.get(audit_id).audit
    assert (shown.status, shown.error.code, shown.error.retriable) == ("failed", "worker_lost", True)


def test_a_silent_workers_audit_is_queued_again_with_the_attempt_charged(audits):
    audit_id = audits.queue()
    claim = audits.with_lease(LAPSED).claim(audit_id, "silent")
    assert audits.reclaim_expired() == Reclaimed(requeued=(audit_id,), failed=(), cancelled=())
    assert audits.status(audit_id) == "queued"
    assert not audits.renew(claim).still_mine
    assert audits.unanswered_bells(3600) == [Bell(audit_id, 1)]  # at once, whatever the patience
    assert audits.claim(audit_id, "next").attempt == 2


def test_a_living_worker_is_left_alone_by_the_sweeper(audits):
    claim = audits.claim(audits.queue(), "alive")
    assert audits.reclaim_expired() == Reclaimed((), (), ())
    assert audits.renew(claim) == RenewAnswer(still_mine=True, cancel_requested=False)


def test_a_released_audit_is_queued_again_without_charge(audits):
    audit_id = audits.queue()
    for _ in range(3):
        claim = audits.claim(audit_id, "draining")
        assert claim.attempt == 1
        assert audits.release(claim)
        assert audits.status(audit_id) == "queued"
    assert audits.unanswered_bells(3600) == [Bell(audit_id, 0)]


def test_a_retry_charges_the_attempt_and_the_last_attempt_has_none(audits):
    audit_id = audits.queue()
    first = audits.claim(audit_id, "w")
    assert audits.retry(first)
    second = audits.claim(audit_id, "w")
    assert second.attempt == 2
    assert not audits.retry(second)
    assert audits.status(audit_id) == "running"
    assert audits.finish_failed(second, ERROR)


@pytest.mark.parametrize("status", TERMINAL)
def test_a_terminal_status_is_never_left(audits, status):
    audit_id = audits.ended(status)
    before = audits.get(audit_id)
    assert audits.claim(audit_id, "late") is None
    assert not audits.cancel(audit_id)
    assert audits.reclaim_expired() == Reclaimed((), (), ())
    assert audits.expire_queued(-1) == []
    assert audits.unanswered_bells(0) == []
    assert audits.get(audit_id) == before
    last = audits.events(audit_id)[-1][1]
    assert last == FinishedEvent(status=status)


def test_a_result_is_recorded_once(audits):
    audit_id = audits.queue()
    claim = audits.claim(audit_id, "w")
    report = make_report()
    verdict = judge(report, load_policy("builtin:recommended"))
    assert audits.finish_succeeded(claim, report.model_dump_json(), verdict)
    assert not audits.finish_succeeded(claim, "{}", None)
    assert not audits.finish_failed(claim, ERROR)
    assert audits.report(audit_id).body == report.model_dump_json()
    assert audits.get(audit_id).audit.verdict == verdict.outcome


def test_a_queued_audit_is_cancelled_at_once(audits):
    audit_id = audits.queue()
    assert audits.cancel(audit_id)
    shown = audits.get(audit_id).audit
    assert (shown.status, shown.started_at) == ("cancelled", None)
    assert shown.finished_at is not None


def test_a_running_audit_is_cancelled_through_its_worker(audits):
    audit_id = audits.queue()
    claim = audits.claim(audit_id, "w")
    assert audits.cancel(audit_id)
    assert audits.status(audit_id) == "cancelling"
    assert not audits.cancel(audit_id)
    assert audits.renew(claim) == RenewAnswer(still_mine=True, cancel_requested=True)
    assert audits.claim(audit_id, "other") is None
    assert audits.finish_cancelled(claim)
    assert audits.status(audit_id) == "cancelled"


def test_a_result_that_comes_while_cancelling_counts(audits):
    claim = audits.claim(audits.queue(), "w")
    audits.cancel(claim.audit_id)
    assert audits.finish_succeeded(claim, "{}", None)
    assert audits.status(claim.audit_id) == "succeeded"


@pytest.mark.parametrize("give_back", ["release", "retry"])
def test_an_audit_to_be_cancelled_is_not_queued_again(audits, give_back):
    claim = audits.claim(audits.queue(), "w")
    audits.cancel(claim.audit_id)
    assert getattr(audits, give_back)(claim)
    assert audits.status(claim.audit_id) == "cancelled"


def test_cancelling_ends_even_if_the_worker_went_silent(audits):
    audit_id = audits.queue()
    audits.with_lease(LAPSED).claim(audit_id, "silent")
    audits.cancel(audit_id)
    assert audits.reclaim_expired() == Reclaimed(requeued=(), failed=(), cancelled=(audit_id,))


def test_a_deleted_audit_is_no_longer_its_workers(audits):
    claim = audits.claim(audits.queue(), "w")
    assert audits.delete(claim.audit_id) == (MODEL.sha256, PROBE.sha256)
    assert not audits.renew(claim).still_mine
    assert not audits.finish_succeeded(claim, "{}", None)
    assert audits.delete(claim.audit_id) == ()


def test_events_are_numbered_without_gaps_and_shown_on_the_audit(audits):
    audit_id = audits.queue()
    claim = audits.claim(audit_id, "w")
    audits.record_event(claim, StageEvent(stage="load"))
    audits.record_event(claim, ProgressEvent(stage="sweep", done=1, total=4))
    shown = audits.get(audit_id).audit
    assert (shown.stage, shown.progress.done, shown.progress.total) == ("sweep", 1, 4)
    audits.record_event(claim, StageEvent(stage="nul\0 byte"))
    assert audits.get(audit_id).audit.progress is None
    audits.finish_cancelled(claim)
    numbers = [number for number, _ in audits.events(audit_id)]
    assert numbers == [1, 2, 3, 4]
    assert [number for number, _ in audits.events(audit_id, after=2)] == [3, 4]


def test_a_chatty_model_cannot_fill_the_log_but_its_end_is_always_in_it(audits, monkeypatch):
    monkeypatch.setattr(repository, "MAX_EVENTS", 5)
    claim = audits.claim(audits.queue(), "w")
    for n in range(9):
        assert audits.record_event(claim, LogEvent(message=str(n)))
    audits.finish_failed(claim, ERROR)
    events = audits.events(claim.audit_id)
    assert [number for number, _ in events] == [1, 2, 3, 4, 5]
    assert events[-1][1] == FinishedEvent(status="failed")


def test_events_go_on_counting_over_attempts(audits):
    first = audits.claim(audits.queue(), "w")
    audits.record_event(first, StageEvent(stage="load"))
    audits.retry(first)
    second = audits.claim(first.audit_id, "w")
    audits.record_event(second, StageEvent(stage="load"))
    assert [number for number, _ in audits.events(first.audit_id)] == [1, 2]


def test_a_renewal_is_no_new_version_and_every_visible_change_is(audits):
    audit_id = audits.queue()
    versions = [audits.get(audit_id).version]
    claim = audits.claim(audit_id, "w")
    versions.append(audits.get(audit_id).version)
    audits.renew(claim)
    assert audits.get(audit_id).version == versions[-1]
    audits.record_event(claim, StageEvent(stage="load"))
    versions.append(audits.get(audit_id).version)
    audits.finish_failed(claim, ERROR)
    versions.append(audits.get(audit_id).version)
    assert versions == sorted(set(versions))


def test_an_unanswered_bell_is_rung_again_with_growing_patience(audits):
    audit_id = audits.queue()
    assert audits.unanswered_bells(3600) == []  # just rung
    assert audits.unanswered_bells(0) == [Bell(audit_id, 0)]
    assert audits.unanswered_bells(-1) == [Bell(audit_id, 0)]
    # Two rings later the patience has doubled twice: 4 × 1800 s is more than has passed, in either sign.
    assert audits.unanswered_bells(1800) == []
    audits.claim(audit_id, "w")
    assert audits.unanswered_bells(0) == []


def test_bells_are_rung_oldest_first_and_so_many_at_once(audits):
    queued = [audits.queue() for _ in range(3)]
    rung = audits.unanswered_bells(0, limit=2)
    assert len(rung) == 2
    assert {bell.audit_id for bell in rung} <= set(queued)


def test_audits_that_waited_too_long_expire(audits):
    old, running = audits.queue(), audits.queue()
    audits.claim(running, "w")
    assert audits.expire_queued(3600) == []
    assert audits.expire_queued(-1) == [old]
    shown = audits.get(old).audit
    assert (shown.status, shown.error.code) == ("expired", "expired")


def test_finished_audits_are_found_by_age(audits):
    over = audits.ended("failed")
    audits.queue()
    assert audits.finished(older_than=3600) == []
    assert audits.finished(older_than=-1) == [over]


def test_pages_of_a_list_meet_without_gap_or_overlap(audits):
    queued = {audits.queue(labels={"n": str(n)}) for n in range(5)}
    seen, cursor = [], None
    while True:
        found, cursor = audits.list(after=cursor, limit=2)
        seen += [stored.audit.id for stored in found]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == queued


def test_filters_of_a_list_combine(audits):
    wanted = audits.queue(labels={"branch": "main", "team": "vision"})
    audits.queue(labels={"branch": "main"})
    other = audits.queue(labels={"branch": "main", "team": "vision"})
    audits.cancel(other)
    found, _ = audits.list(status="queued", labels={"branch": "main", "team": "vision"})
    assert [stored.audit.id for stored in found] == [wanted]
    assert audits.list(verdict="fail")[0] == []


def test_a_file_is_not_dropped_between_an_upload_that_found_it_and_the_audit_that_uses_it(database):
    with database.session() as session:
        for artifact in (MODEL, PROBE):
            ArtifactRepository(session).record(artifact)
    dropped, started = [], threading.Event()

    def drop():
        started.set()
        with database.session() as session:
            dropped.append(list(ArtifactRepository(session).drop_unused([MODEL.sha256, PROBE.sha256])))

    dropper = threading.Thread(target=drop)
    with database.session() as session:
        assert not ArtifactRepository(session).record(MODEL)
        assert ArtifactRepository(session).touch(PROBE.sha256) == PROBE
        dropper.start()
        started.wait()
        dropper.join(0.3)
        assert dropper.is_alive()  # it waits for us
        AuditRepository(session).create(AuditRequest(model=MODEL.sha256, probe=PROBE.sha256))
    dropper.join()
    assert dropped == [[]]


def test_files_nobody_uses_are_dropped_and_used_ones_stay(audits):
    audits.queue()
    with audits.database.session() as session:
        artifacts = ArtifactRepository(session)
        assert artifacts.record(ArtifactInfo(sha256="c" * 64, size=1, format="npy"))
        assert artifacts.unused(older_than=3600) == []
        assert artifacts.unused(older_than=-1) == ["c" * 64]
        assert artifacts.drop_unused(["c" * 64, MODEL.sha256, "d" * 64]) == ["c" * 64]
        assert artifacts.get("c" * 64) is None
        assert artifacts.get(MODEL.sha256) == MODEL
        assert artifacts.unknown([MODEL.sha256, "c" * 64]) == ["c" * 64]
