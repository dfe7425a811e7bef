"""Asking everything the service depends on, and telling what it can do."""

import logging

from obstore.exceptions import BaseError as StoreError
from sqlalchemy.exc import SQLAlchemyError

from eigengate.contract.config import QUANTITIES
from eigengate.gate import PRESETS
from eigengate.versions import versions
from service.artifacts.recognition import MODEL_FORMATS, PROBE_FORMATS
from service.body import SMALL_BODY
from service.context import Context
from service.health.shapes import Formats, Info, Limits
from service.preferences import MAX_WAIT
from service.refusals import NotReadyError
from service.reports.formats import MEDIA_TYPES

logger = logging.getLogger(__name__)


def require_ready(context: Context) -> None:
    """Return if database, store and broker answer; ``NotReadyError`` names those that do not."""
    silent = [name for name, answers in _dependencies(context).items() if not answers]
    if silent:
        raise NotReadyError(f"no answer from: {', '.join(silent)}")


def info(context: Context) -> Info:
    settings = context.settings
    return Info(
        versions=versions(),
        limits=Limits(
            max_upload_bytes=settings.max_upload_bytes,
            max_request_text_bytes=SMALL_BODY,
            max_wait_s=MAX_WAIT,
            max_queued=settings.max_queued,
            time_limit_s=settings.time_limit_s,
            memory_limit_bytes=settings.memory_limit_bytes,
            max_attempts=settings.max_attempts,
        ),
        formats=Formats(model=MODEL_FORMATS, probe=PROBE_FORMATS, report=tuple(MEDIA_TYPES)),
        quantities=QUANTITIES,
        policy_presets=tuple(f"builtin:{name}" for name in PRESETS),
    )


def _dependencies(context: Context) -> dict[str, bool]:
    return {
        "database": _database(context),
        "store": _store(context),
        "broker": context.doorbell.ping(),
    }


def _database(context: Context) -> bool:
    try:
        context.database.ping()
    except SQLAlchemyError as error:
        logger.warning("the database does not answer: %s", str(error).partition("\n")[0])
        return False
    return True


def _store(context: Context) -> bool:
    try:
        context.store.ping()
    except (OSError, StoreError) as error:
        logger.warning("the store does not answer: %s", str(error).partition("\n")[0])
        return False
    return True
