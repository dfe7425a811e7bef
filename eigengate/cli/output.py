"""Files that commands write."""

from pathlib import Path

from eigengate.errors import ConfigError


def write_text(path: Path, text: str) -> None:
    """Write a result file.

    Raises:
        ConfigError: the path cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror}", hint="choose another path") from error
