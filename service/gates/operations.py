"""Judging a stored report."""

from eigengate.contract import Policy, Verdict
from eigengate.gate import judge, load_policy
from service.audits.policy_text import policy_of_text
from service.audits.repository import AuditRepository
from service.context import Context
from service.reports import operations as reports

_DEFAULT = "builtin:recommended"


def judge_again(context: Context, audit_id: str, policy_text: bytes, baseline_id: str | None) -> Verdict:
    """The verdict on an audit's report under a policy, compared with the report of ``baseline_id`` if given.

    Without a policy the audit's own is applied, or the recommended one if it had none.
    """
    report = reports.find(context, audit_id).report()
    baseline = reports.find(context, baseline_id).report() if baseline_id is not None else None
    policy = policy_of_text(policy_text) if policy_text.strip() else _own_policy(context, audit_id)
    return judge(report, policy, baseline)


def _own_policy(context: Context, audit_id: str) -> Policy:
    with context.database.reading() as session:
        return AuditRepository(session).policy(audit_id) or load_policy(_DEFAULT)
