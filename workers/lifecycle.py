"""From a bell to a terminal status: the only code that moves a running audit."""

import logging
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from eigengate.contract import AuditError, LogEvent, StabilityReport, Verdict
from eigengate.errors import EigengateError, PolicyError
from service.audits.lease import Claim
from service.settings import Settings
from service.storage import ArtifactStore
from workers import failures
from workers.acceptance import RejectedReportError, accept_report, judge_report
from workers.drain import Drain
from workers.exits import Exit, failure_of
from workers.job_directory import JobDirectory, ReportFileError, ReportTooLargeError, job_directory
from workers.lease import Lease
from workers.outcome import Abandoned, Cancelled, Failed, Lost, Outcome, Released, Succeeded
from workers.records import Records
from workers.relay import Relay
from workers.sandbox.environment import clean_environment
from workers.settings import WorkerSettings
from workers.supervisor import CHILD_COMMAND, MAX_EVENT_BYTES, supervise

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Claims an audit, has it run under a lease, and records its outcome."""

    records: Records
    store: ArtifactStore
    work_dir: Path
    settings: Settings
    worker_settings: WorkerSettings
    drain: Drain
    command: Sequence[str] = CHILD_COMMAND

    def run(self, audit_id: str) -> None:
        """Run the audit if it waits to be run; a bell for any other is nobody's fault and means nothing."""
        if self.drain.begun:
            return
        claim = self.records.claim(audit_id)
        if claim is None:
            logger.info("nothing to claim for %s", audit_id)
            return
        logger.info("running %s, attempt %d", audit_id, claim.attempt)
        outcome = self._outcome(claim)
        written = self.records.finish(claim, outcome)
        logger.info("%s: %s%s", audit_id, type(outcome).__name__.lower(), "" if written else ", not ours to record")

    def _outcome(self, claim: Claim) -> Outcome:
        relay = Relay()
        lease = Lease(
            self.records,
            claim,
            relay,
            beat_s=self.settings.heartbeat_seconds,
            lease_s=self.settings.lease_seconds,
        )
        try:
            with lease, job_directory(self.work_dir, claim.audit_id) as job:
                outcome = self._carry_out(claim, job, lease, relay)
        except OSError as error:  # no room on the disk, no memory for a process: a matter of this machine and moment
            logger.exception("running %s went wrong", claim.audit_id)
            outcome = Lost(failures.machine_trouble(error))
        except Exception:
            logger.exception("running %s went wrong", claim.audit_id)
            outcome = Failed(failures.internal("The worker itself failed."))
        # Asked once more: the end of the lease may have brought news.
        return Abandoned() if lease.stop_reason == "lost" else outcome

    def _carry_out(self, claim: Claim, job: JobDirectory, lease: Lease, relay: Relay) -> Outcome:
        if problem := self._prepare(claim, job):
            return problem
        limits = self.worker_settings.limits(self.settings, claim.config)
        job.write_request(claim.config, limits)
        end = supervise(
            self.command,
            directory=job.path,
            environment=clean_environment(os.environ, job_dir=job.path, threads=self.worker_settings.audit_threads),
            limits=limits,
            on_event=relay.put,
            must_stop=lambda: lease.stop_reason is not None or self.drain.overdue,
        )
        _log_end(claim, end)
        if end.breach == "told_to_stop":
            return Cancelled() if lease.stop_reason == "cancelled" else Released()
        if failure := failure_of(end, limits, max_event_bytes=MAX_EVENT_BYTES):
            return Lost(failure) if failure.code == "worker_lost" else Failed(failure)
        return self._judged(claim, job, relay)

    def _prepare(self, claim: Claim, job: JobDirectory) -> Outcome | None:
        try:
            job.place("model", self.store, claim.model.sha256)
            job.place("probe", self.store, claim.probe.sha256)
        except EigengateError as error:
            return Failed(failures.told_by(error))
        except OSError:  # this machine's trouble, not the store's
            raise
        except Exception as error:  # a store fails in the words of its own library
            logger.exception("fetching the files of %s went wrong", claim.audit_id)
            return Lost(failures.storage_unavailable(type(error).__name__))
        return None

    def _judged(self, claim: Claim, job: JobDirectory, relay: Relay) -> Outcome:
        report = self._report(claim, job)
        if isinstance(report, AuditError):
            return Failed(report)
        return Succeeded(report, _verdict(claim, report, relay))

    def _report(self, claim: Claim, job: JobDirectory) -> StabilityReport | AuditError:
        maximum = self.worker_settings.max_report_bytes
        try:
            data = job.read_report(max_bytes=maximum)
            if data is None:
                return failures.internal("The audit ended without a report.")
            return accept_report(data, model_sha256=claim.model.sha256, probe_sha256=claim.probe.sha256)
        except ReportTooLargeError:
            return failures.output_too_large("report", maximum)
        except (ReportFileError, RejectedReportError) as error:
            return failures.internal(f"The audit's report was not accepted: {error}.")


def _verdict(claim: Claim, report: StabilityReport, relay: Relay) -> Verdict | None:
    try:
        return judge_report(report, claim.policy)
    except PolicyError as error:
        # The measurement is worth keeping, and can be judged again under a policy that makes sense.
        relay.put(LogEvent(message=f"the report was not judged: {error.detail}"[:2000]))
        return None


def _log_end(claim: Claim, end: Exit) -> None:
    logger.info(
        "%s: child ended with status %d%s, peak %d MiB%s",
        claim.audit_id,
        end.status,
        f" ({end.breach})" if end.breach else "",
        end.peak_bytes >> 20,
        f"; it said:\n{textwrap.indent(end.log.strip(), '    | ')}" if end.log.strip() else "",
    )
