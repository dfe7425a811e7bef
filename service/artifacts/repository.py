"""What is known of stored files; their bytes are in the store."""

from collections.abc import Iterable, Sequence
from typing import final

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from eigengate.contract import ArtifactInfo
from service.artifacts.tables import ArtifactRow
from service.audits.tables import AuditRow
from service.database import now_ms

_USED = exists().where(or_(AuditRow.model_sha256 == ArtifactRow.sha256, AuditRow.probe_sha256 == ArtifactRow.sha256))


@final
class ArtifactRepository:
    """Reads and writes rows of stored files within one transaction.

    Touching locks a row until the transaction ends, and so does dropping it. Files are put into the store after their
    row is touched and deleted from it after their row is dropped, within the same transaction: so a file is never
    deleted between an upload that found it there and the audit that uses it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, sha256: str) -> ArtifactInfo | None:
        row = self._session.get(ArtifactRow, sha256)
        return ArtifactInfo(sha256=row.sha256, size=row.size, format=row.format) if row else None

    def record(self, info: ArtifactInfo) -> bool:
        """Insert or touch the file's row; whether it is new."""
        insert = (postgresql if self._session.get_bind().dialect.name == "postgresql" else sqlite).insert(ArtifactRow)
        added = insert.values(
            sha256=info.sha256, size=info.size, format=info.format, created_at=now_ms(), touched_at=now_ms()
        )
        new = self._session.scalar(added.on_conflict_do_nothing().returning(ArtifactRow.sha256)) is not None
        return new or self.touch(info.sha256) is None

    def touch(self, sha256: str) -> ArtifactInfo | None:
        """The file, marked as used just now; null if there is none."""
        touched = update(ArtifactRow).where(ArtifactRow.sha256 == sha256).values(touched_at=now_ms())
        row = self._session.execute(
            touched.returning(ArtifactRow.sha256, ArtifactRow.size, ArtifactRow.format)
        ).one_or_none()
        return ArtifactInfo(sha256=row.sha256, size=row.size, format=row.format) if row else None

    def unknown(self, digests: Iterable[str]) -> Sequence[str]:
        """Those of the digests that have no row."""
        known = set(self._session.scalars(select(ArtifactRow.sha256)))
        return [sha256 for sha256 in digests if sha256 not in known]

    def drop_unused(self, digests: Iterable[str]) -> Sequence[str]:
        """Drop the rows of those files that no audit uses; their digests."""
        # Locked first, judged by a later statement: one that waited for a submission then sees the submitted audit.
        wanted = select(ArtifactRow.sha256).where(ArtifactRow.sha256.in_(sorted(set(digests))))
        found = self._session.scalars(wanted.order_by(ArtifactRow.sha256).with_for_update()).all()
        unused = delete(ArtifactRow).where(ArtifactRow.sha256.in_(found), ~_USED).returning(ArtifactRow.sha256)
        return self._session.scalars(unused).all()

    def unused(self, *, older_than: float, limit: int = 100) -> Sequence[str]:
        """Digests of files that no audit uses and nobody touched for ``older_than`` seconds."""
        old = ArtifactRow.touched_at < now_ms() - int(older_than * 1000)
        return self._session.scalars(select(ArtifactRow.sha256).where(old, ~_USED).limit(limit)).all()
