"""Bytes from a pipe, cut into lines, with no line longer than it may be."""

from collections.abc import Iterator
from typing import final


@final
class LineSplitter:
    """Collects bytes into lines; what exceeds ``max_line`` is dropped up to the next line break and counted."""

    def __init__(self, max_line: int) -> None:
        self.overlong = 0
        self._max_line = max_line
        self._pending = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` completes, without their line breaks."""
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._take(piece)
            if not self._skipping:
                yield bytes(self._pending)
            self._pending.clear()
            self._skipping = False
        self._take(rest)

    def _take(self, piece: bytes) -> None:
        if self._skipping:
            return
        self._pending += piece
        if len(self._pending) > self._max_line:
            self._pending.clear()
            self._skipping = True
            self.overlong += 1


@final
class Tail:
    """The last ``size`` bytes of a stream, and how many there were."""

    def __init__(self, size: int) -> None:
        self.total = 0
        self._size = size
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        self._kept += data
        del self._kept[: -self._size]

    def text(self) -> str:
        """What was kept, without anything that could command a terminal or pass for a line of someone else's."""
        kept = self._kept.decode("utf-8", errors="replace")
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in kept)
