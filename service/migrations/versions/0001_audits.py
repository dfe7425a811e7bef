"""Artifacts, audits, their labels, events and reports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _artifacts()
    _audits()
    _parts_of_audits()


def downgrade() -> None:
    for table in ("audit_reports", "audit_events", "audit_labels", "audits", "artifacts"):
        op.drop_table(table)


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("format", sa.String(32)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("touched_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifacts"),
    )


def _audits() -> None:
    op.create_table(
        "audits",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("progress", sa.Text),
        sa.Column("verdict", sa.String(16)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("token", sa.String(64)),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("rung_at", sa.BigInteger),
        sa.Column("rings", sa.Integer, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("model_sha256", sa.String(64), nullable=False),
        sa.Column("probe_sha256", sa.String(64), nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("policy", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audits"),
        sa.ForeignKeyConstraint(["model_sha256"], ["artifacts.sha256"], name="fk_audits_model_sha256"),
        sa.ForeignKeyConstraint(["probe_sha256"], ["artifacts.sha256"], name="fk_audits_probe_sha256"),
    )
    for columns in (["created_at", "id"], ["status", "created_at"], ["model_sha256"], ["probe_sha256"]):
        op.create_index(f"ix_audits_{'_'.join(columns)}", "audits", columns)


def _parts_of_audits() -> None:
    op.create_table(
        "audit_labels",
        _audit_id(),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        *_belongs_to_audit("audit_labels", "audit_id", "key"),
    )
    op.create_index("ix_audit_labels_key_value", "audit_labels", ["key", "value"])
    op.create_table(
        "audit_events",
        _audit_id(),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
        *_belongs_to_audit("audit_events", "audit_id", "number"),
    )
    op.create_table(
        "audit_reports",
        _audit_id(),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text),
        *_belongs_to_audit("audit_reports", "audit_id"),
    )


def _audit_id() -> "sa.Column[str]":
    return sa.Column("audit_id", sa.String(64), nullable=False)


def _belongs_to_audit(table: str, *key: str) -> tuple[sa.Constraint, sa.Constraint]:
    audit = sa.ForeignKeyConstraint(["audit_id"], ["audits.id"], name=f"fk_{table}_audit_id", ondelete="CASCADE")
    return sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"), audit
