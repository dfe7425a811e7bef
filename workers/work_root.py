"""Where one worker process keeps the job directories of its audits, and how those of dead workers are found."""

import os
import secrets
import shutil
from pathlib import Path
from typing import final

from workers.file_lock import FileLock, LockHeldError


@final
class WorkRoot:
    """A directory of this worker's own beside those of other workers, marked as in use by a lock."""

    def __init__(self, base: Path) -> None:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._base = base
        self.path = base / f"worker-{os.getpid()}-{secrets.token_hex(4)}"
        # The lock first: a directory without a held lock is a dead worker's.
        self._lock = FileLock(_lock_path(self.path))
        self.path.mkdir(mode=0o700)

    def remove_stale(self) -> list[str]:
        """Remove the directories of workers that are gone; their names."""
        removed = []
        for directory in sorted(self._base.glob("worker-*/")):
            try:
                with FileLock(_lock_path(directory)):
                    _remove(directory)
            except LockHeldError:
                continue
            removed.append(directory.name)
        return removed

    def close(self) -> None:
        _remove(self.path)
        self._lock.release()


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    _lock_path(directory).unlink(missing_ok=True)


def _lock_path(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")
