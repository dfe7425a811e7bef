"""The files of a zip archive."""

import io
import stat
import struct
import zipfile
import zlib
from typing import Final

from eigengate.errors import ModelLoadError
from eigengate.loading.container.member import (
    REPACK,
    Content,
    Member,
    check_inflation,
    checked_members,
    checked_name,
)
from eigengate.loading.container.zip_layout import COPY_AGAIN, Directory, check_places, directory_of

_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(ValueError, OverflowError, NotImplementedError, RuntimeError),
)
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000


def is_zip(data: bytes) -> bool:
    """Whether the bytes begin as a zip archive with at least one member."""
    return data.startswith(b"PK\x03\x04")


def zip_members(data: bytes) -> tuple[Member, ...]:
    """The files of the archive; folders are left out.

    Raises:
        ModelLoadError: the archive is damaged, ambiguous, hostile, or larger than we unpack.
    """
    archive, directory = _opened(data)
    entries = archive.infolist()
    files = [entry for entry in entries if not _is_folder(entry)]
    members = checked_members(_member(archive, entry) for entry in files)
    check_places(data, entries, directory)
    return members


def zip_names(data: bytes) -> tuple[str, ...]:
    """The names in the archive's directory as they stand there, no more than checked for their number.

    Raises:
        ModelLoadError: the directory is damaged, or longer than we read.
    """
    return tuple(_opened(data)[0].namelist())


def _opened(data: bytes) -> tuple[zipfile.ZipFile, Directory]:
    directory = directory_of(data)  # first, since zipfile would read a directory of any length
    try:
        return zipfile.ZipFile(io.BytesIO(data)), directory
    except _DAMAGE as error:
        raise ModelLoadError(f"the zip archive is damaged: {error}", hint=COPY_AGAIN) from error


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Member:
    # zipfile cuts names at NUL; orig_filename is what stands in the file.
    name = checked_name(entry.orig_filename)
    if entry.flag_bits & _ENCRYPTED:
        raise ModelLoadError(f"the archive member {name!r} is encrypted", hint="Pack the files without a password.")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise ModelLoadError(f"the archive member {name!r} is a link or a device, no plain file", hint=REPACK)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = zipfile.compressor_names.get(entry.compress_type, str(entry.compress_type))  # type: ignore[attr-defined]
        raise ModelLoadError(
            f"the archive member {name!r} is compressed by the method {method}", hint="Pack with zip's default, or -0."
        )
    check_inflation(f"the archive member {name!r}", entry.compress_size, entry.file_size)
    return Member(name, entry.file_size, lambda n: _read(archive, entry, n))


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, n: int) -> Content:
    """The first n bytes; asked for by number, because without one zipfile inflates past the size it was promised."""
    try:
        with archive.open(entry) as stream:
            content = stream.read(min(n, entry.file_size))
            if n >= entry.file_size:
                stream.read(1)  # at its end the checksum is compared
    except _DAMAGE as error:
        raise ModelLoadError(f"the archive member {entry.filename!r} is damaged: {error}", hint=COPY_AGAIN) from error
    if len(content) < min(n, entry.file_size):
        raise ModelLoadError(f"the archive member {entry.filename!r} is cut short", hint=COPY_AGAIN)
    return content


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    if not entry.orig_filename.endswith("/"):
        return False
    checked_name(entry.orig_filename)
    if entry.file_size:
        raise ModelLoadError(f"the archive folder {entry.filename!r} holds {entry.file_size} bytes", hint=REPACK)
    return True
