"""What surrounds every request: its id, its line in the log, the headers all answers carry, and the last resort."""

import asyncio
import logging
import re
import secrets
import time
from typing import final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from service.problems import internal_problem, stopping_problem

logger = logging.getLogger("service.requests")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@final
class RequestScope:
    """ASGI middleware. A fault that no handler knows is logged here and answered without a word of its inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope["request_id"] = request_id
        with bound_contextvars(request_id=request_id):
            await self._answer(scope, receive, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        began, status = time.monotonic(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            logger.info("the client hung up")
        except asyncio.CancelledError:  # the server stops and waits no longer
            if not status:
                await stopping_problem(Request(scope))(scope, receive, send_with_headers)
        except Exception:
            logger.exception("a request failed")
            if status:
                raise  # too late for an answer; the server closes the connection
            await internal_problem(Request(scope))(scope, receive, send_with_headers)
        finally:
            seconds = round(time.monotonic() - began, 4)
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": seconds}
            logger.info("request", extra=facts)
