"""The front page."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

import eigengate
from service.audits.repository import AuditRepository
from service.context import ContextOf
from service.documentation import problems
from service.pages.contexts import AuditLine, HomePage

router = APIRouter(tags=["pages"])

_templates = Environment(loader=PackageLoader("service.pages"), autoescape=True, undefined=StrictUndefined)
_SHOWN = 25
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


@router.get(
    "/",
    operation_id="getHomePage",
    summary="The front page, for people",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {"example": "<!doctype html>…"}}}, **problems(503)},
)
def get_home_page(request: Request, context: ContextOf) -> Response:
    """What this is, where to go, and the newest audits."""
    with context.database.reading() as session:
        newest, _ = AuditRepository(session).list(limit=_SHOWN)
    page = HomePage(
        version=eigengate.__version__,
        address=str(request.base_url),
        audits=[AuditLine.of(stored.audit) for stored in newest],
    )
    return HTMLResponse(_templates.get_template("home.html").render(asdict(page)), headers=_HEADERS)
