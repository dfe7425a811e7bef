"""Routes of audits: submit, look, list, cancel, delete, follow."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from eigengate.contract import Audit, AuditPage, AuditStatus, EventLog, VerdictOutcome
from service import examples
from service.audits import operations
from service.audits.cursor import Cursor
from service.audits.event_stream import event_stream, events_after
from service.audits.form import IncomingForm
from service.audits.records import PATH, StoredAudit
from service.audits.repository import AuditRepository
from service.audits.waiting import held, patience
from service.body import SMALL_BODY, media_type, small_body, take_in
from service.conditional import has_current
from service.context import Context, ContextOf
from service.documentation import AUDIT_REQUEST_BODY, answer, header, problems
from service.negotiation import preferred
from service.preferences import preferred_wait
from service.refusals import InvalidRequestError, NotAcceptableError, UnsupportedMediaTypeError

router = APIRouter(prefix=PATH, tags=["audits"])

Prefer = Annotated[
    str | None, Header(description="`wait=N`: hold the answer for up to N seconds, at most 60 (RFC 7240).")
]
IfNoneMatch = Annotated[str | None, Header(description="The `ETag` you have; 304 if it is still right.")]
_POLLING = {
    **header("ETag", "Version of the audit."),
    **header("Retry-After", "Seconds until it is worth asking again."),
}
_EVENTS = {"stream": "text/event-stream", "list": "application/json"}


@router.post(
    "",
    operation_id="submitAudit",
    summary="Submit an audit",
    status_code=202,
    openapi_extra=AUDIT_REQUEST_BODY,
    responses={
        **answer(202, "The audit is recorded and will run.", Audit, examples.QUEUED, headers={
            **header("Location", "The audit."), **_POLLING, **header("Preference-Applied", "The wait granted."),
        }),
        **problems(400, 413, 415, 422, 503, 507),
    },
)  # fmt: skip
async def submit_audit(request: Request, context: ContextOf, prefer: Prefer = None) -> Response:
    """Upload model and probe data as one form, or name files uploaded before as JSON.

    A 202 promises that the audit is on disk and will reach exactly one terminal status.
    """
    kind = media_type(request)
    if kind == "multipart/form-data":
        stored = await _submit_form(request, context)
    elif kind == "application/json":
        stored = await run_in_threadpool(operations.submit_digests, context, await small_body(request))
    else:
        raise UnsupportedMediaTypeError(
            f"an audit is submitted as multipart/form-data or application/json, not as {kind or 'nothing'}",
            hint="curl -F model=@model.onnx -F probe=@probe.npz …",
        )
    wait = preferred_wait(prefer)
    if wait:
        stored = await held(request, context, stored, wait, lambda latest: latest.over)
    return _audit_response(stored, status=202, wait=wait, location=True)


async def _submit_form(request: Request, context: Context) -> StoredAudit:
    with context.staging.file() as model, context.staging.file() as probe:
        form = IncomingForm(request.headers["content-type"], {"model": model, "probe": probe})
        limit = 2 * context.settings.max_upload_bytes + 8 * SMALL_BODY
        await take_in(request, form.write, limit=limit)
        return await run_in_threadpool(operations.submit_files, context, form, model, probe)


@router.get(
    "",
    operation_id="listAudits",
    summary="List audits, newest first",
    responses={**answer(200, "A page of audits.", AuditPage, examples.PAGE), **problems(422, 503)},
)
def list_audits(
    context: ContextOf,
    status: AuditStatus | None = None,
    verdict: VerdictOutcome | None = None,
    label: Annotated[
        list[str] | None, Query(max_length=16, description="`key:value`; all of several must match.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """Audits that match every filter."""
    after = Cursor.parse(cursor) if cursor is not None else None
    if cursor is not None and after is None:
        raise _bad_query("cursor", "the cursor is none of ours")
    with context.database.reading() as session:
        found, following = AuditRepository(session).list(
            status=status, verdict=verdict, labels=_labels(label or []), after=after, limit=limit
        )
    page = AuditPage(data=tuple(stored.audit for stored in found), next=str(following) if following else None)
    return _json(page.model_dump_json())


@router.get(
    "/{audit_id}",
    operation_id="getAudit",
    summary="See where an audit stands",
    responses={
        **answer(200, "The audit, whatever became of it.", Audit, examples.SUCCEEDED, headers=_POLLING),
        304: {"description": "It has not changed."},
        **problems(404, 503),
    },
)
async def get_audit(
    audit_id: str,
    request: Request,
    context: ContextOf,
    prefer: Prefer = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """With `Prefer: wait=N` the answer comes when the audit is over, or, with `If-None-Match`, when it has changed."""
    stored = await run_in_threadpool(operations.find, context, audit_id)
    wait = preferred_wait(prefer)
    if wait:
        stored = await held(
            request, context, stored, wait, lambda latest: latest.over or _changed(latest, if_none_match)
        )
    return _audit_response(stored, wait=wait, if_none_match=if_none_match)


@router.post(
    "/{audit_id}/cancel",
    operation_id="cancelAudit",
    summary="Cancel an audit",
    responses={
        **answer(200, "The audit is over.", Audit, examples.CANCELLED),
        **answer(202, "The audit is being stopped.", Audit, examples.CANCELLING),
        **problems(404, 503),
    },
)
def cancel_audit(audit_id: str, context: ContextOf) -> Response:
    """A queued audit is cancelled at once, a running one within seconds; one that is over stays as it is."""
    stored = operations.cancel(context, audit_id)
    return _audit_response(stored, status=200 if stored.over else 202)


@router.delete(
    "/{audit_id}",
    operation_id="deleteAudit",
    summary="Delete an audit with everything that belongs to it",
    status_code=204,
    responses={204: {"description": "There is no such audit any more."}, **problems(503)},
)
def delete_audit(audit_id: str, context: ContextOf) -> Response:
    """Its report and events go too, and its files unless another audit uses them. A running audit is stopped."""
    operations.delete(context, audit_id)
    return Response(status_code=204)


@router.get(
    "/{audit_id}/events",
    operation_id="followAudit",
    summary="Follow an audit",
    responses={
        **answer(200, "Events in order; the stream ends after `finished`.", EventLog, examples.EVENTS, also={
            "text/event-stream": {"schema": {"type": "string"}, "example": examples.EVENT_STREAM},
        }),
        204: {"description": "There is nothing after `Last-Event-ID` and never will be."},
        **problems(404, 406, 503),
    },
)  # fmt: skip
def follow_audit(
    audit_id: str,
    context: ContextOf,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    last_event_id: Annotated[str | None, Header(description="Number of the last event you have seen.")] = None,
) -> Response:
    """Server-sent events, or, for `Accept: application/json`, the list of those so far."""
    operations.find(context, audit_id)
    form = preferred(accept, _EVENTS)
    if form is None:
        raise NotAcceptableError(f"events come as {' or '.join(_EVENTS.values())}, not as {accept}")
    seen = last_event_id or "0"
    if not (seen.isascii() and seen.isdecimal() and len(seen) < 10):
        raise _bad_query("last-event-id", "an event's id is a number")
    events, over = events_after(context, audit_id, int(seen))
    if form == "list":
        return _json(EventLog(events=tuple(event for _, event in events)).model_dump_json())
    if over and not events:
        return Response(status_code=204)  # tells an EventSource to stop reconnecting
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(event_stream(context, audit_id, int(seen)), headers=headers)


def _audit_response(
    stored: StoredAudit,
    *,
    status: int = 200,
    wait: int | None = None,
    if_none_match: str | None = None,
    location: bool = False,
) -> Response:
    headers = {"ETag": _etag(stored), "Cache-Control": "no-cache"}
    age = (datetime.now(UTC) - stored.audit.created_at).total_seconds()
    if (retry := patience(stored, age)) is not None:
        headers["Retry-After"] = str(retry)
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait}"
    if location:
        headers["Location"] = stored.audit.links.self
    if if_none_match is not None and has_current(if_none_match, _etag(stored)):
        return Response(status_code=304, headers=headers)
    return _json(stored.audit.model_dump_json(), status=status, headers=headers)


def _json(body: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _etag(stored: StoredAudit) -> str:
    return f'"{stored.version}"'


def _changed(stored: StoredAudit, if_none_match: str | None) -> bool:
    return if_none_match is not None and not has_current(if_none_match, _etag(stored))


def _labels(filters: list[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in filters]
    if any(not colon or "\0" in key + value for key, colon, value in pairs):
        raise _bad_query("label", "a label filter is written key:value")
    return {key: value for key, _, value in pairs}


def _bad_query(name: str, message: str) -> InvalidRequestError:
    errors: list[dict[str, Any]] = [{"pointer": f"/query/{name}", "message": message}]
    return InvalidRequestError(f"{name}: {message}", context={"errors": errors})
