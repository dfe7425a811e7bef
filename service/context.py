"""What routes work with: the settings and the opened database, store and bell."""

import threading
from dataclasses import dataclass, field
from typing import Annotated, Self, cast, final

from fastapi import Depends, Request

from service.database import Database
from service.queue import CeleryDoorbell, Doorbell
from service.settings import Settings
from service.storage import ArtifactStore, Staging, open_store


@final
@dataclass(frozen=True, kw_only=True)
class Context:
    """One of each, for the life of the application. ``stopping`` is set once the server is told to stop."""

    settings: Settings
    database: Database
    store: ArtifactStore
    staging: Staging
    doorbell: Doorbell
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, settings: Settings, *, doorbell: Doorbell | None = None) -> Self:
        """Everything the settings name; nothing is contacted yet."""
        staging = Staging(
            settings.staging_dir, max_bytes=settings.max_upload_bytes, min_free_bytes=settings.min_free_bytes
        )
        return cls(
            settings=settings,
            database=Database(settings.database_address),
            store=open_store(settings.blob_address),
            staging=staging,
            doorbell=doorbell or CeleryDoorbell(settings.broker_url),
        )


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


ContextOf = Annotated[Context, Depends(_context)]
