"""The route of a report."""

from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import Response

import eigengate
from eigengate.contract import StabilityReport
from eigengate.page import content_security_policy
from service import examples
from service.audits.records import PATH
from service.conditional import has_current
from service.context import ContextOf
from service.documentation import answer, header, problems
from service.negotiation import preferred
from service.refusals import NotAcceptableError
from service.reports import operations
from service.reports.formats import MEDIA_TYPES, ReportFormat, render
from service.reports.stored import StoredReport

router = APIRouter(prefix=PATH, tags=["reports"])

_OTHERS = {
    media_type: {"schema": {"type": "string"}, "example": f"The report as {form}."}
    for form, media_type in MEDIA_TYPES.items()
    if form != "json"
}


@router.get(
    "/{audit_id}/report",
    operation_id="getReport",
    summary="Read the report",
    responses={
        **answer(
            200, "The report.", StabilityReport, examples.REPORT, also=_OTHERS, headers=header("ETag", "Its digest.")
        ),
        304: {"description": "It has not changed."},
        **problems(404, 406, 409, 422, 503),
    },
)
def get_report(
    audit_id: str,
    context: ContextOf,
    format: ReportFormat | None = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_none_match: Annotated[str | None, Header(description="The `ETag` you have.")] = None,
) -> Response:
    """As JSON, or as `format` or `Accept` asks. 409 while there is none, so that no script takes an answer for one."""
    stored = operations.find(context, audit_id)
    form = format or preferred(accept, MEDIA_TYPES)
    if form is None:
        raise NotAcceptableError(
            f"a report does not come as {str(accept)[:100]}", hint=f"Accept one of {', '.join(MEDIA_TYPES.values())}."
        )
    headers = {"ETag": _etag(stored, form), "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if has_current(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if form == "html":
        policy = f"{content_security_policy()}; frame-ancestors 'none'; sandbox"
        headers |= {"Content-Security-Policy": policy, "Cross-Origin-Opener-Policy": "same-origin"}
    return Response(render(stored, form), media_type=MEDIA_TYPES[form], headers=headers)


def _etag(stored: StoredReport, form: ReportFormat) -> str:
    """The JSON is what was recorded; other forms also depend on the software that renders them."""
    return f'"{stored.sha256}"' if form == "json" else f'W/"{stored.sha256}-{form}-{eigengate.__version__}"'
