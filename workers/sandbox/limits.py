"""How much of the machine one audit may use."""

import resource
from dataclasses import asdict, dataclass
from typing import Any, Self, final


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one child process; seconds and bytes.

    ``memory_bytes`` bounds the resident set, which the supervisor watches. ``data_bytes`` bounds writable mappings,
    which the kernel enforces and turns into a clean allocation error; it is None where CUDA reserves huge
    address ranges.
    """

    wall_s: float
    cpu_s: int
    memory_bytes: int
    data_bytes: int | None
    file_bytes: int
    open_files: int = 1024

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**values)


def apply_limits(limits: Limits) -> None:
    """Bind the calling process, for good.

    The number of processes is not limited here: RLIMIT_NPROC counts every process of the user, ours and the server's.
    """
    _lower(resource.RLIMIT_CORE, 0)
    # The soft limit's SIGXCPU says what happened; the hard one, a SIGKILL, is for who ignores it.
    _lower(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 5)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.data_bytes is not None:
        _lower(resource.RLIMIT_DATA, limits.data_bytes)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    _, ceiling = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        soft, wanted = min(soft, ceiling), min(wanted, ceiling)
    resource.setrlimit(kind, (soft, wanted))
