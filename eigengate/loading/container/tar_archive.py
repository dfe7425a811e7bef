"""The files of a tar archive, read as strictly as we need and no further: ustar, GNU and pax headers, plain files.

Ours, not the standard library's: members stay slices of the archive, nothing but numbers and names is interpreted, and
a header can send the reader only forward.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from eigengate.errors import ModelLoadError
from eigengate.loading.container.member import REPACK, Content, Member, check_count, checked_members, checked_name

_BLOCK: Final = 512
_MAX_EXTENSION: Final = 1 << 20
_FILES: Final = (b"0", b"\0", b"7")
_FOLDER: Final = b"5"
_GNU_NAME, _GNU_LINK = b"L", b"K"
_PAX, _PAX_GLOBAL = b"x", b"g"
_KINDS: Final = {b"1": "hard link", b"2": "symbolic link", b"3": "device", b"4": "device", b"6": "named pipe"}


def is_tar(data: Content) -> bool:
    """Whether the bytes begin with a tar header: its checksum says so, the only mark that all kinds of tar share."""
    return len(data) >= _BLOCK and _has_checksum(bytes(data[:_BLOCK]))


def tar_members(data: Content) -> tuple[Member, ...]:
    """The files of the archive; folders are left out.

    Raises:
        ModelLoadError: the archive is damaged, ambiguous, hostile, or larger than we unpack.
    """
    view = memoryview(data)
    return checked_members(
        _member(header, view[header.start : header.start + header.size]) for header in _files(_headers(view), view)
    )


@final
@dataclass(frozen=True)
class _Header:
    """One header block, and where the bytes that it announces begin."""

    name: str
    kind: bytes
    size: int
    start: int


def _member(header: _Header, content: memoryview) -> Member:
    return Member(checked_name(header.name), header.size, lambda n: content[:n])


def _files(headers: Iterator[_Header], view: memoryview) -> Iterator[_Header]:
    """The headers of plain files, with the names that extension headers in front of them give."""
    long_name: str | None = None
    for header in headers:
        if header.kind in (_PAX_GLOBAL, _GNU_LINK):
            continue  # dates and owners of all members; the target of a link, which is refused when it comes
        if header.kind == _GNU_NAME:
            long_name = _text(_extension(header, view).rstrip(b"\0"))
        elif header.kind == _PAX:
            long_name = _pax_records(_extension(header, view)).get("path", long_name)
        else:
            named = _Header(long_name or header.name, header.kind, header.size, header.start)
            long_name = None
            if _is_file(named):
                yield named


def _is_file(header: _Header) -> bool:
    checked_name(header.name)
    if header.kind == _FOLDER or (header.kind == b"\0" and header.name.endswith("/")):
        return False
    if header.kind not in _FILES:
        kind = _KINDS.get(header.kind, f"special entry of type {header.kind.decode('latin-1')!r}")
        raise ModelLoadError(f"the archive member {header.name!r} is a {kind}, no plain file", hint=REPACK)
    return True


def _headers(view: memoryview) -> Iterator[_Header]:
    position, count = 0, 0
    size_to_come: int | None = None
    while position < len(view):
        block = bytes(view[position : position + _BLOCK])
        if not block.strip(b"\0"):
            return
        check_count(count := count + 1)
        if len(block) < _BLOCK or not _has_checksum(block):
            raise _damaged(position)
        header = _header(block, position + _BLOCK, size_to_come)
        if header.start + header.size > len(view):
            raise ModelLoadError(
                f"the archive member {header.name!r} is cut short", hint="Copy the archive again, whole."
            )
        yield header
        size_to_come = None
        if header.kind == _PAX:
            announced = _pax_records(_extension(header, view)).get("size")
            size_to_come = None if announced is None else _decimal(announced, position)
        position = header.start + -(-header.size // _BLOCK) * _BLOCK


def _header(block: bytes, start: int, size_to_come: int | None) -> _Header:
    kind = block[156:157]
    name = _text(block[:100].partition(b"\0")[0])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500].partition(b"\0")[0])):
        name = f"{prefix}/{name}"
    size = _number(block[124:136], start) if size_to_come is None else size_to_come
    return _Header(name, kind, 0 if kind == _FOLDER else size, start)


def _extension(header: _Header, view: memoryview) -> bytes:
    if header.size > _MAX_EXTENSION:
        raise ModelLoadError(f"the archive has a header of {header.size:,} bytes", hint=REPACK)
    return bytes(view[header.start : header.start + header.size])


def _pax_records(data: bytes) -> Mapping[str, str]:
    """``length key=value`` lines."""
    records: dict[str, str] = {}
    while data:
        digits, _, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        key, equals, value = data[len(digits) + 1 : max(length - 1, 0)].partition(b"=")
        if not equals or length > len(data) or data[length - 1 : length] != b"\n":
            raise ModelLoadError("the archive has a damaged extended header", hint=REPACK)
        if key.startswith(b"GNU.sparse"):
            raise ModelLoadError("the archive has a sparse member", hint=REPACK)
        if key in (b"path", b"size"):
            records[key.decode()] = _text(value)
        data = data[length:]
    return records


def _has_checksum(block: bytes) -> bool:
    """Whether the header's checksum, taken with blanks in its own place, is right."""
    digits = block[148:156].strip(b" \0")
    if not digits or not all(digit in b"01234567" for digit in digits):
        return False
    return int(digits, 8) == sum(block) - sum(block[148:156]) + 8 * 0x20


def _number(field: bytes, start: int) -> int:
    """Octal digits, or behind a marking bit a number in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise _damaged(start)
    return int(digits or b"0", 8)


def _decimal(text: str, position: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _damaged(position)
    return int(text)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelLoadError(f"the archive has a member whose name is no UTF-8: {raw[:100]!r}", hint=REPACK) from error


def _damaged(position: int) -> ModelLoadError:
    return ModelLoadError(
        f"the tar archive is damaged: no header at byte {position:,}", hint="Copy the archive again, whole."
    )
