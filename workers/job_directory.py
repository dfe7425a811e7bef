"""The private directory of one audit: what the child reads, and the one file it leaves."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from eigengate.contract import AuditConfig
from service.storage import ArtifactStore, materialise
from workers.sandbox.limits import Limits


class ReportFileError(Exception):
    """What the child left as its report is no plain file."""


class ReportTooLargeError(Exception):
    """The child's report is larger than allowed."""


@final
@dataclass(frozen=True)
class JobDirectory:
    """A directory that only its owner may enter; the child's working directory and home."""

    path: Path

    def place(self, name: str, store: ArtifactStore, sha256: str) -> None:
        """Copy a stored file in, checking its digest; a copy, so that the child cannot touch the original."""
        materialise(store, sha256, self.path / name)
        (self.path / name).chmod(0o400)

    def write_request(self, config: AuditConfig, limits: Limits) -> None:
        """Leave the child its orders; ``parent`` is the process it must not outlive."""
        request = {"parent": os.getpid(), "limits": limits.as_json()}
        (self.path / "request.json").write_text(json.dumps(request), encoding="utf-8")
        (self.path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")

    def read_report(self, *, max_bytes: int) -> bytes | None:
        """The bytes of the report, or None if there is none; links, pipes and oversized files are refused."""
        try:
            # The child may have put anything there: never follow a link, never wait for a pipe's other end.
            fd = os.open(self.path / "report.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReportFileError(f"the report cannot be opened: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ReportFileError("the report is not a plain file")
        with os.fdopen(fd, "rb") as reader:
            data = reader.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ReportTooLargeError(f"the report is larger than {max_bytes} bytes")
        return data


@contextmanager
def job_directory(root: Path, audit_id: str) -> Iterator[JobDirectory]:
    """A fresh job directory under ``root``, removed afterwards whatever the child put into it."""
    path = Path(tempfile.mkdtemp(prefix=f"{audit_id}.", dir=root))  # mode 0700
    try:
        yield JobDirectory(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
