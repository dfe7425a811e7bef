"""Request bodies, taken in as they arrive and never beyond a limit."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.storage import UploadTooLargeError

SMALL_BODY = 2**16


def media_type(request: Request) -> str:
    """The body's type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def take_in(request: Request, write: Callable[[bytes], None], *, limit: int) -> None:
    """Hand every chunk of the body to ``write``, which may block.

    Raises:
        UploadTooLargeError: The body has more than ``limit`` bytes, or says so beforehand.
    """
    declared = request.headers.get("content-length", "0")
    size = 0
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if chunk:
            await run_in_threadpool(write, chunk)


async def small_body(request: Request) -> bytes:
    """The whole body, which is text a person may have written; what it costs to check grows with its length."""
    body = bytearray()
    await take_in(request, body.extend, limit=SMALL_BODY)
    return bytes(body)


def _too_large(limit: int) -> UploadTooLargeError:
    return UploadTooLargeError(
        f"the request has more than {limit} bytes", hint="GET /v1/info tells the limits of this service"
    )
