"""Gzip, inflated piece by piece under a limit."""

import gzip
import io
import zlib
from typing import Final

from eigengate.errors import ModelLoadError
from eigengate.loading.container.member import check_inflation, check_total

_PIECE: Final = 1 << 20


def is_gzip(data: bytes) -> bool:
    """Whether the bytes begin as a gzip stream."""
    return data.startswith(b"\x1f\x8b\x08")


def inflated(data: bytes) -> memoryview:
    """What the stream holds.

    Raises:
        ModelLoadError: it is damaged, or holds more than we unpack.
    """
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while piece := stream.read(_PIECE):
                content += piece
                check_total(len(content))
                check_inflation("the gzip stream", len(data), len(content))
    except (OSError, EOFError, zlib.error) as error:
        raise ModelLoadError(
            f"the gzip stream is damaged: {error}", hint="Copy the archive again, whole, or pack the files again."
        ) from error
    return memoryview(content).toreadonly()
