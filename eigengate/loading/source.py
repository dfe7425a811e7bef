"""Where bytes come from: a path or the bytes themselves."""

from pathlib import Path

from eigengate.errors import InputError


def read_source(source: str | Path | bytes) -> bytes:
    """The bytes of a file, or the bytes given.

    Raises:
        InputError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except IsADirectoryError as error:
        raise InputError(
            f"{str(source)!r} is a folder", hint="pack an ONNX model and its data files into one archive and give that"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {str(source)!r}: {error.strerror}", hint="check the path") from error
