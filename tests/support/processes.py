"""Waiting for processes and files, without sleeping longer than needed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T | None], *, what: str, within: float = 20) -> T:
    """The first truthy answer of ``look``."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {within} s in vain for {what}")


def text_of(path: Path) -> str:
    """The content of a file that another process is about to write."""
    return until(lambda: (path.exists() and path.read_text()) or None, what=f"{path} to be written")


def is_gone(pid: int, *, within: float = 5) -> bool:
    """Whether a process no longer runs; a zombie that nobody has reaped yet runs no more."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
