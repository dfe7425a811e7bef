"""Logs as JSON lines, each with the id of the request it belongs to."""

import logging
import sys

import structlog
from structlog.contextvars import merge_contextvars

_PROCESSORS = (
    merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def json_formatter() -> logging.Formatter:
    """Renders what anyone logs through :mod:`logging` as one JSON object a line; no text can forge a line."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=_PROCESSORS,
    )


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send this process's logs to stderr as JSON; for programs that own their process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
