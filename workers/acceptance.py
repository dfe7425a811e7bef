"""What a child left as its report, believed only as far as it can be checked."""

from pydantic import ValidationError

from eigengate.contract import Policy, StabilityReport, Verdict
from eigengate.gate import judge, load_policy
from workers.protocol import clip

DEFAULT_POLICY = "builtin:recommended"


class RejectedReportError(Exception):
    """The report is not one that could have come from this audit."""


def accept_report(data: bytes, *, model_sha256: str, probe_sha256: str) -> StabilityReport:
    """The report, if it has the contract's shape and is about the files that were audited."""
    try:
        report = StabilityReport.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise RejectedReportError(clip(f"the report breaks the contract at {place}: {first['msg']}", 500)) from None
    if report.model.sha256 != model_sha256:
        raise RejectedReportError("the report is about another model")
    if report.probe.sha256 != probe_sha256:
        raise RejectedReportError("the report is about other probe data")
    return report


def judge_report(report: StabilityReport, policy: Policy | None) -> Verdict:
    """The report under its own policy, or under the recommended one where none was given.

    Raises:
        PolicyError: The policy cannot be resolved.
    """
    source = DEFAULT_POLICY if policy is None else policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    return judge(report, load_policy(source))
