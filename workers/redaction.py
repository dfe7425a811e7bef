"""Where things are on this machine is nobody else's business."""

import sys
from pathlib import Path
from typing import final

_ROOT = Path(__file__).resolve().parent.parent


@final
class Redactor:
    """Replaces this machine's directories in what a child says, before it is read."""

    def __init__(self, job_dir: Path) -> None:
        places = {
            str(job_dir): "<job>",
            str(job_dir.resolve()): "<job>",
            str(_ROOT): "<eigengate>",
            sys.prefix: "<python>",
            sys.base_prefix: "<python>",
        }
        longest_first = sorted(places, key=len, reverse=True)
        self._pairs = [(place.encode(), places[place].encode()) for place in longest_first if len(place) > 1]

    def __call__(self, line: bytes) -> bytes:
        for place, name in self._pairs:
            line = line.replace(place, name)
        return line
