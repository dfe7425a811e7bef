"""The right to run one audit for a while: what a worker holds between claiming an audit and finishing it."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import ArtifactInfo, AuditConfig, Policy


@final
@dataclass(frozen=True, kw_only=True)
class LeaseTerms:
    """How long a silent worker keeps an audit, and how often an audit may be started."""

    seconds: float = 30
    max_attempts: int = 2


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claimed audit. ``token`` proves the claim: whoever claims the audit next gets another one.

    ``attempt`` counts from one and was counted before the audit ran; on the ``last_attempt`` there is no retry.
    """

    audit_id: str
    token: str
    worker: str
    attempt: int
    last_attempt: bool
    model: ArtifactInfo
    probe: ArtifactInfo
    config: AuditConfig
    policy: Policy | None


@final
@dataclass(frozen=True)
class RenewAnswer:
    """``still_mine`` is false once another worker, the sweeper or a deletion took the audit: stop, write nothing."""

    still_mine: bool
    cancel_requested: bool


@final
@dataclass(frozen=True)
class Bell:
    """An audit to ring for."""

    audit_id: str
    attempt: int


@final
@dataclass(frozen=True)
class Reclaimed:
    """Ids of the audits whose lease ran out, by what became of them."""

    requeued: tuple[str, ...]
    failed: tuple[str, ...]
    cancelled: tuple[str, ...]
