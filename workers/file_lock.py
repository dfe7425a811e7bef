"""A lock that goes with its process, however that ends."""

import fcntl
import os
from pathlib import Path
from typing import Self, final


class LockHeldError(Exception):
    """Another process holds the lock."""


@final
class FileLock:
    """An advisory lock on a file; the kernel gives it back when the last process that inherited it is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise LockHeldError(f"{path} is locked by another process") from error

    def release(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
