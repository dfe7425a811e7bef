"""An audit as the service shows it: where it stands and where its results are."""

from datetime import datetime
from typing import Annotated, Literal, final

from pydantic import Field

from eigengate.contract.base import Contract, Items
from eigengate.contract.config import AuditConfig
from eigengate.contract.policy import Policy
from eigengate.contract.report import Digest
from eigengate.contract.verdict import VerdictOutcome

AuditStatus = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled", "expired"]
TERMINAL_STATUSES: frozenset[AuditStatus] = frozenset({"succeeded", "failed", "cancelled", "expired"})
ModelFormat = Literal["torchscript", "onnx", "pt2", "unknown"]
Timestamp = Annotated[datetime, Field(strict=False)]
Labels = dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,63}$")], Annotated[str, Field(max_length=255)]]


@final
class ArtifactInfo(Contract):
    """A stored file: its content's digest, its size in bytes, and for models the format."""

    sha256: Digest
    size: int
    format: str | None = None


@final
class Progress(Contract):
    """``done`` of ``total`` steps of ``stage``."""

    stage: str
    done: int
    total: int


@final
class AuditError(Contract):
    """Why an audit failed, and whether trying again may help."""

    code: str
    title: str
    detail: str
    hint: str | None = None
    retriable: bool = False


@final
class AuditLinks(Contract):
    """Where to go from here."""

    self: str
    report: str
    html: str
    events: str
    cancel: str
    verdict: str


@final
class Audit(Contract):
    """One audit. ``status`` says whether the measurement was made; ``verdict``, separately, what the policy says."""

    id: str
    object: Literal["audit"] = "audit"
    status: AuditStatus
    stage: str | None = None
    progress: Progress | None = None
    verdict: VerdictOutcome | None = None
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    attempt: int = 0
    model: ArtifactInfo
    probe: ArtifactInfo
    config: AuditConfig
    labels: Labels = Field(default_factory=dict)
    error: AuditError | None = None
    links: AuditLinks


@final
class AuditPage(Contract):
    """A page of audits, newest first; ``next`` is the cursor of the following page."""

    object: Literal["list"] = "list"
    data: Items[Audit]
    next: str | None = None


@final
class AuditRequest(Contract):
    """An audit of artifacts that were uploaded before, by digest."""

    model: Digest
    probe: Digest
    config: AuditConfig = AuditConfig()
    policy: Policy | None = None
    labels: Labels = Field(default_factory=dict)
