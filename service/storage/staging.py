"""Uploads on their way in: hashed, counted and limited while they arrive, gone unless a store takes them."""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final

from service.storage.errors import StorageFullError, UploadTooLargeError

_FULL = {errno.ENOSPC, errno.EDQUOT}


@final
class StagedFile:
    """A file that is arriving. ``sha256`` and ``size`` are of what was written so far."""

    def __init__(self, path: Path, file: BinaryIO, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``.

        Raises:
            UploadTooLargeError: The file is now larger than allowed.
            StorageFullError: The disk is full.
        """
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise UploadTooLargeError(
                f"the file has more than the {self._max_bytes} bytes this service accepts",
                hint="GET /v1/info tells the limits",
            )
        self._digest.update(chunk)
        with disk():
            self._file.write(chunk)

    def seal(self) -> None:
        """Nothing more will come: see that all of it is on the disk."""
        with disk():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def read(self) -> BinaryIO:
        """The sealed file, open for reading."""
        return self.path.open("rb")


@final
class Staging:
    """The folder uploads arrive in. Files are removed when their request ends; ``sweep`` removes those of dead ones."""

    def __init__(self, folder: Path, *, max_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def file(self) -> Iterator[StagedFile]:
        """A new file, removed at the end whatever happened.

        Raises:
            StorageFullError: There is less free space than the service keeps.
        """
        self._require_space()
        path = self._folder / secrets.token_hex(16)
        try:
            with disk(), path.open("xb") as file:
                yield StagedFile(path, file, self._max_bytes)
        finally:
            path.unlink(missing_ok=True)

    def sweep(self, *, older_than: float) -> int:
        """Remove files untouched for ``older_than`` seconds: their process died; how many."""
        limit, removed = time.time() - older_than, 0
        for path in self._folder.iterdir():
            if path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _require_space(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._min_free_bytes:
            raise StorageFullError(
                f"{free} bytes are free, and the service keeps {self._min_free_bytes}",
                hint="try again later; the operator can free space or lower EIGENGATE_MIN_FREE_BYTES",
            )


@contextmanager
def disk() -> Iterator[None]:
    """A full disk has a name of its own."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError("the disk is full", hint="try again later") from error
        raise
