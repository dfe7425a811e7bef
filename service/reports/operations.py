"""Finding the report of an audit."""

from eigengate.contract import Audit, AuditError
from service.audits.operations import find_in
from service.audits.repository import AuditRepository
from service.context import Context
from service.refusals import AuditNotFinishedError, NoReportError
from service.reports.stored import StoredReport


def find(context: Context, audit_id: str) -> StoredReport:
    """The audit's report.

    Raises:
        UnknownAuditError: There is no such audit.
        AuditNotFinishedError: It has no report yet.
        NoReportError: It ended without one.
    """
    with context.database.reading() as session:
        audits = AuditRepository(session)
        stored = find_in(audits, audit_id)
        row = audits.report(audit_id)
    if row is not None:
        return StoredReport(stored.audit, row.sha256, row.body, row.verdict)
    if not stored.over:
        raise AuditNotFinishedError(
            f"the audit is {stored.audit.status}",
            hint="Ask again later, or GET the audit with Prefer: wait=60.",
        )
    raise NoReportError(stored.audit.error or _ended(stored.audit))


def _ended(audit: Audit) -> AuditError:
    return AuditError(
        code=audit.status,
        title=f"The audit was {audit.status}",
        detail="It ended before there was a report.",
        hint="Submit it again.",
    )
