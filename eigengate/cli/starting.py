"""What keeps a server from starting, in words for whoever starts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eigengate.errors import ServerStartError, SettingsError

_HINT = "it comes from an option or from an EIGENGATE_… variable"


@contextmanager
def starting() -> Iterator[None]:
    """Turn the errors of settings, folders and databases into ours.

    Raises:
        SettingsError: A setting makes no sense.
        ServerStartError: A folder or the database cannot be used.
    """
    from pydantic import ValidationError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        yield
    except ValidationError as error:
        raise SettingsError(_in_words(error.errors(include_url=False)), hint=_HINT) from None
    except ArgumentError as error:
        raise SettingsError(
            f"EIGENGATE_DATABASE_URL: {error}", hint="write postgresql://user:password@host/name"
        ) from None
    except SQLAlchemyError as error:
        reason = str(error).partition("\n")[0]
        raise ServerStartError(
            f"the database cannot be used: {reason}", hint="`eigengate doctor` looks closer"
        ) from error
    except OSError as error:
        where = f" {str(error.filename)!r}" if error.filename else ""
        raise ServerStartError(
            f"cannot use{where}: {error.strerror or error}", hint="choose a folder you may write"
        ) from error


def _in_words(faults: list[Any]) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)
