"""Files in a local folder."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, final

from service.storage.errors import ArtifactMissingError
from service.storage.staging import StagedFile, disk

_CHUNK = 1024 * 1024
_ARRIVING = ".arriving"


@final
class LocalStore:
    """Keeps each file at ``folder/ab/abcd…``. A file appears there by renaming, so never in part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, staged: StagedFile) -> None:
        path = self._path(staged.sha256)
        arriving = path.with_name(f"{secrets.token_hex(8)}{_ARRIVING}")
        try:
            with disk():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                _link_or_copy(staged.path, arriving)
                arriving.replace(path)  # also over a file that is there: should that one be damaged, it is mended
                _sync(path.parent)
        finally:
            arriving.unlink(missing_ok=True)

    def stat(self, sha256: str) -> int | None:
        try:
            return self._path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def stream(self, sha256: str) -> Iterator[bytes]:
        try:
            file = self._path(sha256).open("rb")
        except FileNotFoundError:
            raise ArtifactMissingError(f"the store has no file {sha256}", hint="upload it again") from None
        return _chunks(file)

    def delete(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        return (path.name for path in self._folder.glob("??/*") if path.suffix != _ARRIVING)

    def ping(self) -> None:
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{self._folder} is not writable")

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP):
            raise
        # Another file system, or one without hard links.
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _sync(folder: Path) -> None:
    """Put the folder's new entry on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
