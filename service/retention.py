"""Throwing away what nobody needs any more. Workers' sweepers call it; any number may at once."""

import logging

from eigengate.contract import ArtifactInfo
from service.artifacts.repository import ArtifactRepository
from service.audits.operations import delete
from service.audits.repository import AuditRepository
from service.context import Context

_ABANDONED_UPLOAD_SECONDS = 3600

logger = logging.getLogger(__name__)


def collect_garbage(context: Context) -> None:
    """Remove audits past their retention, files no audit uses, files nobody knows, and uploads that never ended."""
    settings = context.settings
    if settings.audit_retention_s is not None:
        with context.database.reading() as session:
            finished = AuditRepository(session).finished(older_than=settings.audit_retention_s)
        for audit_id in finished:
            delete(context, audit_id)
    with context.database.session() as session:
        artifacts = ArtifactRepository(session)
        for sha256 in artifacts.drop_unused(artifacts.unused(older_than=settings.artifact_retention_s)):
            context.store.delete(sha256)
    _remove_strangers(context)
    context.staging.sweep(older_than=_ABANDONED_UPLOAD_SECONDS)


def _remove_strangers(context: Context) -> None:
    """Files in the store without a row: their transaction failed after they were put there."""
    with context.database.reading() as session:
        strangers = ArtifactRepository(session).unknown(context.store.digests())
    for sha256 in strangers:
        with context.database.session() as session:
            artifacts = ArtifactRepository(session)
            # Recorded, so as to wait for whoever may be keeping this very file just now.
            if artifacts.record(ArtifactInfo(sha256=sha256, size=0)) and artifacts.drop_unused([sha256]):
                context.store.delete(sha256)
                logger.info("removed a file nobody knew: %s", sha256)
