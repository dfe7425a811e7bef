"""Every form of a report: its name, its media type, and how it is made."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from eigengate.contract import Verdict
from eigengate.gate import to_junit, to_markdown, to_sarif
from eigengate.page import render_html
from service.refusals import NoVerdictError
from service.reports.stored import StoredReport

ReportFormat = Literal["json", "html", "markdown", "junit", "sarif"]
MEDIA_TYPES: Mapping[ReportFormat, str] = MappingProxyType(
    {
        "json": "application/json",
        "html": "text/html",
        "markdown": "text/markdown",
        "junit": "application/xml",
        "sarif": "application/sarif+json",
    }
)


def render(stored: StoredReport, form: ReportFormat) -> str:
    """The report in that form; markdown, JUnit and SARIF show its verdict."""
    match form:
        case "json":
            return stored.body
        case "html":
            return render_html(stored.report(), stored.verdict())
        case "markdown":
            return to_markdown(_judged(stored), stored.report())
        case "junit":
            return to_junit(_judged(stored))
        case "sarif":
            return to_sarif(_judged(stored))


def _judged(stored: StoredReport) -> Verdict:
    verdict = stored.verdict()
    if verdict is None:
        raise NoVerdictError(
            "the audit's own policy could not be applied", hint=f"POST a policy to {stored.audit.links.verdict}."
        )
    return verdict
