"""Where a list of audits goes on: opaque to callers, the place of the last audit shown to us."""

import base64
import binascii
import re
from typing import NamedTuple, Self, final

_PLACE = re.compile(r"(\d{1,18}):(aud_[0-9a-f]{32})")


@final
class Cursor(NamedTuple):
    """The place of one audit in the order newest first."""

    created_at: int
    id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.created_at}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The cursor that ``text`` stands for; null if it is none of ours."""
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        except (binascii.Error, ValueError):
            return None
        match = _PLACE.fullmatch(plain)
        return cls(int(match[1]), match[2]) if match else None
