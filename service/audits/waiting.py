"""Holding an answer until an audit gets somewhere."""

from collections.abc import Callable

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.audits import operations
from service.audits.records import StoredAudit
from service.context import Context


async def held(
    request: Request, context: Context, stored: StoredAudit, seconds: int, enough: Callable[[StoredAudit], bool]
) -> StoredAudit:
    """The audit once it is ``enough``; or as it stands after ``seconds``, or once the client or the server leaves."""
    deadline = anyio.current_time() + seconds
    while not enough(stored) and (left := deadline - anyio.current_time()) > 0:
        if context.stopping.is_set() or await request.is_disconnected():
            return stored
        await anyio.sleep(min(left, context.settings.poll_seconds))
        stored = await run_in_threadpool(operations.find, context, stored.audit.id)
    return stored


def patience(stored: StoredAudit, age_seconds: float) -> int | None:
    """Seconds a client should wait before it asks again: more, the longer the audit takes; null once it is over."""
    if stored.over:
        return None
    return next((wait for limit, wait in ((5, 1), (30, 2), (120, 5)) if age_seconds < limit), 10)
