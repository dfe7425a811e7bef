"""An audit's events as server-sent events, replayed from where the client left off, until the audit is over."""

from collections.abc import AsyncIterator, Sequence

import anyio
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

from eigengate.contract import AuditEvent
from service.audits.repository import AuditRepository
from service.context import Context

_RECONNECT_MS = 2000
_PING_SECONDS = 15

Numbered = tuple[int, AuditEvent]


def events_after(context: Context, audit_id: str, after: int) -> tuple[Sequence[Numbered], bool]:
    """The events behind number ``after``, and whether these are the last ones there will be."""
    with context.database.reading() as session:
        audits = AuditRepository(session)
        stored = audits.get(audit_id)
        return audits.events(audit_id, after=after), stored is None or stored.over


async def event_stream(context: Context, audit_id: str, after: int) -> AsyncIterator[bytes]:
    """Events in wire format, with their numbers as ids, and a comment now and then while nothing happens.

    It ends early when the server stops; the client reconnects and goes on where it left off.
    """
    yield format_sse_event(retry=_RECONNECT_MS)
    over, heard = False, anyio.current_time()
    while not (over or context.stopping.is_set()):
        events, over = await run_in_threadpool(events_after, context, audit_id, after)
        for number, event in events:
            yield format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=str(number))
            after, heard = number, anyio.current_time()
        if anyio.current_time() - heard > _PING_SECONDS:
            yield KEEPALIVE_COMMENT
            heard = anyio.current_time()
        if not over:
            await anyio.sleep(context.settings.poll_seconds)
