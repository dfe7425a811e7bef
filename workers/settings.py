"""What an operator can choose about a worker process, beyond what it shares with the service."""

import os
import sys
from pathlib import Path
from typing import Literal, final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from eigengate.contract import AuditConfig
from service.settings import Settings
from workers.sandbox.limits import Limits

CPU_SLACK_S = 60
NVIDIA_CONTROL = Path("/dev/nvidiactl")


@final
class WorkerSettings(BaseSettings):
    """Settings of one worker process, as ``EIGENGATE_WORKER_…`` environment variables."""

    model_config = SettingsConfigDict(env_prefix="EIGENGATE_WORKER_", frozen=True, extra="forbid")

    pool: Literal["threads", "prefork", "solo"] = Field(
        "threads", description="Celery pool. A task only waits for its child, so threads serve best."
    )
    concurrency: int = Field(1, ge=1, description="Audits at once; one per GPU.")
    threads: int | None = Field(None, ge=1, description="CPU threads of one audit; default: the cores, shared out.")
    grace_s: float = Field(
        20, ge=0, description="How long running audits may go on after SIGTERM before they are handed back."
    )
    work_dir: Path | None = Field(
        None, description="Where job directories lie; default: a folder in the data directory."
    )
    max_report_bytes: int = Field(64 * 2**20, ge=2**16, description="Largest report a child may leave.")

    @property
    def audit_threads(self) -> int:
        """CPU threads of one audit."""
        return self.threads or max(1, _cores() // self.concurrency)

    def work_base(self, settings: Settings) -> Path:
        return (self.work_dir or settings.data_dir / "work").absolute()

    def limits(self, settings: Settings, config: AuditConfig) -> Limits:
        """The bounds of one audit: what it asks for, within what the operator allows."""
        wall = min(config.time_limit_s or settings.time_limit_s, settings.time_limit_s)
        may_use_cuda = config.device != "cpu" and NVIDIA_CONTROL.exists()
        return Limits(
            wall_s=wall,
            cpu_s=int(wall * self.audit_threads) + CPU_SLACK_S,
            memory_bytes=settings.memory_limit_bytes,
            data_bytes=None if may_use_cuda else settings.memory_limit_bytes,
            file_bytes=self.max_report_bytes,
        )


def _cores() -> int:
    if sys.platform == "linux":  # those this process may use, not those of the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
