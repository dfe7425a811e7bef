"""The tables of audits, their labels, events and reports. Times are the database's clock in milliseconds since 1970."""

from typing import final

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.database import Base

_CASCADE = "CASCADE"


@final
class AuditRow(Base):
    """One audit. ``version`` rises with every change, ``token`` is of the current claim, ``events`` counts its events.

    ``rung_at`` and ``rings`` say when and how often a bell was rung since the audit was last queued.
    """

    __tablename__ = "audits"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[str | None] = mapped_column(Text)
    verdict: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(Integer)
    worker: Mapped[str | None] = mapped_column(Text)
    token: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    rung_at: Mapped[int | None] = mapped_column(BigInteger)
    rings: Mapped[int] = mapped_column(Integer)
    events: Mapped[int] = mapped_column(Integer)
    model_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"), index=True)
    probe_sha256: Mapped[str] = mapped_column(ForeignKey("artifacts.sha256"), index=True)
    config: Mapped[str] = mapped_column(Text)
    policy: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_audits_created_at_id", "created_at", "id"),
        Index("ix_audits_status_created_at", "status", "created_at"),
    )


@final
class LabelRow(Base):
    """One label of an audit."""

    __tablename__ = "audit_labels"

    audit_id: Mapped[str] = mapped_column(ForeignKey("audits.id", ondelete=_CASCADE), primary_key=True)
    key: Mapped[str] = mapped_column(String(63), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))

    __table_args__ = (Index("ix_audit_labels_key_value", "key", "value"),)


@final
class EventRow(Base):
    """One event of an audit, numbered from one."""

    __tablename__ = "audit_events"

    audit_id: Mapped[str] = mapped_column(ForeignKey("audits.id", ondelete=_CASCADE), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    body: Mapped[str] = mapped_column(Text)


@final
class ReportRow(Base):
    """The report of a succeeded audit as JSON, its digest, and the verdict under the audit's own policy."""

    __tablename__ = "audit_reports"

    audit_id: Mapped[str] = mapped_column(ForeignKey("audits.id", ondelete=_CASCADE), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str | None] = mapped_column(Text)
