"""Writing PNG files with a palette, or in full colour."""

import struct
import zlib
from collections.abc import Sequence

Colour = tuple[int, int, int]


def indexed_png(rows: Sequence[bytes], palette: Sequence[Colour]) -> bytes:
    """An image of one byte per pixel, an index into at most 256 colours."""
    return _png(rows, len(rows[0]), 3, _chunk(b"PLTE", b"".join(bytes(colour) for colour in palette)))


def rgb_png(rows: Sequence[bytes]) -> bytes:
    """An image of three bytes per pixel."""
    return _png(rows, len(rows[0]) // 3, 2, b"")


def _png(rows: Sequence[bytes], width: int, colour_type: int, palette: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), 8, colour_type, 0, 0, 0)
    # Every line begins with its filter, 0 for none.
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + palette + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
