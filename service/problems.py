"""Every error answer: which status a code has, and the problem document (RFC 9457) it becomes."""

import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from eigengate.contract import Problem
from eigengate.errors import EigengateError
from service.refusals import InvalidRequestError, NoReportError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPES = "https://eigengate.dev/problems/"

STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "malformed_request": 400,
        "not_found": 404,
        "artifact_not_found": 404,
        "method_not_allowed": 405,
        "not_acceptable": 406,
        "audit_not_finished": 409,
        "no_report": 409,
        "no_verdict": 409,
        "upload_too_large": 413,
        "unsupported_media_type": 415,
        "invalid_request": 422,
        "invalid_config": 422,
        "invalid_policy": 422,
        "input_rejected": 422,
        "model_rejected": 422,
        "model_load_failed": 422,
        "unsupported_format": 422,
        "probe_rejected": 422,
        "probe_format": 422,
        "unknown_artifact": 422,
        "digest_mismatch": 422,
        "internal": 500,
        "unavailable": 503,
        "not_ready": 503,
        "queue_full": 503,
        "artifact_missing": 500,
        "artifact_corrupt": 500,
        "storage_full": 507,
    }
)
_RETRY_AFTER = MappingProxyType(
    {"audit_not_finished": 2, "unavailable": 5, "not_ready": 5, "queue_full": 30, "storage_full": 60}
)
_AWAY = "The service is temporarily unavailable"
_CODES = MappingProxyType(
    {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "upload_too_large"}
)


def problem(
    request: Request,
    code: str,
    title: str,
    detail: str,
    *,
    hint: str | None = None,
    status: int | None = None,
    errors: Iterable[dict[str, Any]] = (),
) -> Problem:
    """What went wrong with ``request``; the status is that of the code unless another is given."""
    return Problem(
        type=TYPES + code,
        title=title,
        status=status or STATUSES[code],
        code=code,
        detail=detail,
        hint=hint,
        instance=request.url.path,
        request_id=request.scope.get("request_id"),
        errors=tuple(errors),
    )


def respond(found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that tells of a problem, and when to try again where that may help."""
    retry = {"Retry-After": str(_RETRY_AFTER[found.code])} if found.code in _RETRY_AFTER else {}
    return Response(
        found.model_dump_json(exclude_none=True),
        status_code=found.status,
        media_type=MEDIA_TYPE,
        headers={**(headers or {}), **retry, "Cache-Control": "no-store"},
    )


def internal_problem(request: Request) -> Response:
    """What a caller is told of a fault of ours: nothing of its inside."""
    detail = "The service failed to answer this request. The fault is ours and was logged."
    hint = "Give the request id when you report it."
    return respond(problem(request, "internal", EigengateError.title, detail, hint=hint))


def stopping_problem(request: Request) -> Response:
    """What a caller is told whose request the server could not finish before it stopped."""
    detail = "The service stopped before it had answered."
    return respond(problem(request, "unavailable", _AWAY, detail, hint="Try again soon; nothing was changed."))


def install(app: FastAPI) -> None:
    """Let every error that leaves a route become a problem."""
    app.add_exception_handler(EigengateError, _refused)
    app.add_exception_handler(NoReportError, _no_report)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for away in (OperationalError, InterfaceError, PoolTimeoutError, StoreError):
        app.add_exception_handler(away, _away)


def pointer(location: Iterable[int | str]) -> str:
    """The JSON pointer (RFC 6901) to a place in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _pointer_of(path: str) -> str:
    """The JSON pointer to what a policy's mistake calls ``condition[0].metric``."""
    return pointer(re.findall(r"[^.\[\]]+", path))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, EigengateError)
    if error.code not in STATUSES:
        raise error  # an error no request should be able to cause
    errors = error.context.get("errors") or [
        {**mistake, "pointer": _pointer_of(mistake["pointer"])} for mistake in error.context.get("mistakes", ())
    ]
    return respond(problem(request, error.code, error.title, error.detail, hint=error.hint, errors=errors))


def _no_report(request: Request, error: Exception) -> Response:
    assert isinstance(error, NoReportError)
    why, status = error.reason, STATUSES[error.code]
    return respond(problem(request, why.code, why.title, why.detail, hint=why.hint, status=status))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"pointer": pointer(fault["loc"]), "message": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['pointer']}: {fault['message']}" for fault in errors)
    kind = InvalidRequestError
    return respond(problem(request, kind.code, kind.title, detail, errors=errors))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = _CODES.get(status, "internal" if status >= 500 else "malformed_request")
    title = HTTPStatus(status).phrase
    detail = f"{request.method} {request.url.path}: {title.lower()}"
    return respond(problem(request, code, title, detail, status=status, hint="See /openapi.json."), error.headers)


def _away(request: Request, error: Exception) -> Response:
    logger.warning("the database or the store does not answer: %s", str(error).partition("\n")[0])
    detail = "The database or the store of files does not answer."
    return respond(problem(request, "unavailable", _AWAY, detail, hint="Try again soon; nothing was changed."))
