"""Where a zip archive's parts lie: every byte must belong to a member or to the directory, and both must agree.

Two readers of one archive see two archives where they trust different copies of a name or of a size, or where bytes
lie that no record accounts for. Here all copies must say the same and nothing may be left over.
"""

import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from eigengate.errors import ModelLoadError
from eigengate.loading.container.member import REPACK, check_count, check_packed

COPY_AGAIN: Final = "Copy the archive again, whole, or pack the files again."

_END: Final = struct.Struct("<4s4H2IH")
_END_MARK: Final = b"PK\x05\x06"
_LOCATOR: Final = struct.Struct("<4sIQI")
_LOCATOR_MARK: Final = b"PK\x06\x07"
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_END64_MARK: Final = b"PK\x06\x06"
_RECORD: Final = struct.Struct("<4s24x3H12x")
_RECORD_MARK: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4sH2H4x3I2H")
_LOCAL_MARK: Final = b"PK\x03\x04"
_LONGEST_COMMENT: Final = 0xFFFF
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
"""Fields of all ones say that the number stands in a larger field elsewhere."""
_FOLLOWED: Final = 0x8
"""The flag of members whose checksum and sizes stand behind them."""
_COMPARED_FLAGS: Final = 0x1 | _FOLLOWED | 0x40 | 0x800 | 0x2000


@final
@dataclass(frozen=True)
class Directory:
    """Where the directory lies, and how many members it lists."""

    start: int
    end: int
    count: int


def directory_of(data: bytes) -> Directory:
    """The archive's directory, which ends where the closing record begins.

    Raises:
        ModelLoadError: the archive is damaged, too long, in several parts, or there are foreign bytes around it.
    """
    check_packed(len(data))
    end = _place_of_end(data)
    numbers: tuple[int, ...] = _END.unpack_from(data, end)[1:7]
    if data[max(end - _LOCATOR.size, 0) : end].startswith(_LOCATOR_MARK):
        end, numbers = _in_64_bits(data, end, numbers)
    disk, first_disk, here, count, size, offset = numbers
    if disk or first_disk or here != count:
        raise ModelLoadError("the zip archive is one part of several", hint=REPACK)
    check_count(count)
    foreign = end - size - offset
    if foreign > 0:
        raise _preceded(foreign)
    if foreign < 0:
        raise _damaged("its directory does not end where it should")
    _check_records(data, Directory(offset, end, count))
    return Directory(offset, end, count)


def check_places(data: bytes, entries: Iterable[zipfile.ZipInfo], directory: Directory) -> None:
    """Members must lie one behind the other, from the first byte to the directory, as it says.

    Raises:
        ModelLoadError: they do not.
    """
    position = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < position:
            raise ModelLoadError(f"the archive's members overlap at {entry.filename!r}", hint=COPY_AGAIN)
        if entry.header_offset > position:
            raise _unaccounted(entry.header_offset - position)
        position = _end_of_member(data, entry, directory.end)
    if position > directory.start:
        raise ModelLoadError("the archive's last member reaches into its directory", hint=COPY_AGAIN)
    if position < directory.start:
        raise _unaccounted(directory.start - position)


def _place_of_end(data: bytes) -> int:
    place = data.rfind(_END_MARK, max(len(data) - _END.size - _LONGEST_COMMENT, 0))
    if place < 0 or place + _END.size > len(data):
        raise _damaged("it has no closing record")
    length = _END.unpack_from(data, place)[-1]
    if foreign := len(data) - place - _END.size - length:
        what = f"{foreign} foreign bytes follow it" if foreign > 0 else "its closing record is cut short"
        raise _damaged(what)
    return place


def _in_64_bits(data: bytes, end: int, short: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Where the larger closing record begins, and its numbers; those of the short one must be the same or missing."""
    _, _, place, parts = _LOCATOR.unpack_from(data, end - _LOCATOR.size)
    foreign = end - _LOCATOR.size - _END64.size - place
    if foreign > 0 and data[place + foreign : end].startswith(_END64_MARK):
        raise _preceded(foreign)
    if parts != 1 or foreign:
        raise _damaged("its closing records lie apart")
    mark, length, _, _, *numbers = _END64.unpack_from(data, place)
    if mark != _END64_MARK or length != _END64.size - 12:
        raise _damaged("its 64-bit closing record is none")
    limits = (_SHORT, _SHORT, _SHORT, _SHORT, _LONG, _LONG)
    if any(old not in (new, limit) for old, new, limit in zip(short, numbers, limits, strict=True)):
        raise _damaged("its closing records contradict each other")
    return place, tuple(numbers)


def _check_records(data: bytes, directory: Directory) -> None:
    """The directory must hold as many records as it says, and be filled by them."""
    position = directory.start
    for _ in range(directory.count):
        if position + _RECORD.size > directory.end:
            raise _damaged("its directory is cut short")
        mark, *lengths = _RECORD.unpack_from(data, position)
        if mark != _RECORD_MARK:
            raise _damaged(f"no member is listed at byte {position:,}")
        position += _RECORD.size + sum(lengths)
    if position != directory.end:
        raise _damaged(f"its directory does not hold {directory.count} members")


def _end_of_member(data: bytes, entry: zipfile.ZipInfo, limit: int) -> int:
    """Where the member ends, what follows it included; its own header must repeat the directory."""
    start = entry.header_offset
    if start + _LOCAL.size > limit:
        raise ModelLoadError(f"the archive member {entry.filename!r} is cut short", hint=COPY_AGAIN)
    mark, _, flags, method, checksum, packed, size, name_length, extra_length = _LOCAL.unpack_from(data, start)
    name_end = start + _LOCAL.size + name_length
    extra = data[name_end : name_end + extra_length]
    if mark != _LOCAL_MARK:
        raise _damaged(f"no member begins at byte {start:,}")
    encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
    if data[start + _LOCAL.size : name_end] != entry.orig_filename.encode(encoding):
        raise _contradiction(entry, "name")
    if (flags ^ entry.flag_bits) & _COMPARED_FLAGS or method != entry.compress_type:
        raise _contradiction(entry, "way of packing")
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        raise _contradiction(entry, "size")
    said = (checksum, *_sizes(extra, packed, size))
    told = (entry.CRC, entry.compress_size, entry.file_size)
    position: int = name_end + extra_length + entry.compress_size
    if not flags & _FOLLOWED:
        if said != told:
            raise _contradiction(entry, "size or checksum")
        return position
    if any(old not in (new, 0, _LONG) for old, new in zip(said, told, strict=True)):
        raise _contradiction(entry, "size or checksum")
    return _end_of_descriptor(data, entry, position)


def _sizes(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """The two sizes of a member's header, from its 64-bit field where they stand there."""
    if packed != _LONG and size != _LONG:
        return packed, size
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and length >= 16 and len(extra) >= 20:
            size, packed = struct.unpack_from("<2Q", extra, 4)
            return packed, size
        extra = extra[4 + length :]
    return packed, size


def _end_of_descriptor(data: bytes, entry: zipfile.ZipInfo, position: int) -> int:
    """Behind the checksum and the sizes that follow a member: with or without a mark, in 32 bits or in 64."""
    told = (entry.CRC, entry.compress_size, entry.file_size)
    for mark in (b"PK\x07\x08", b""):
        for form in ("<I2Q", "<I2I"):  # zeros of 64 bits would pass for those of 32
            length = len(mark) + struct.calcsize(form)
            found = data[position : position + length]
            if len(found) == length and found.startswith(mark) and struct.unpack_from(form, found, len(mark)) == told:
                return position + length
    raise _contradiction(entry, "size or checksum")


def _contradiction(entry: zipfile.ZipInfo, what: str) -> ModelLoadError:
    return ModelLoadError(
        f"the archive member {entry.filename!r} has one {what} in the directory and another in its own header",
        hint=COPY_AGAIN,
    )


def _preceded(count: int) -> ModelLoadError:
    return ModelLoadError(f"the archive begins with {count} foreign bytes", hint=COPY_AGAIN)


def _unaccounted(count: int) -> ModelLoadError:
    return ModelLoadError(f"the archive holds {count} bytes that belong to no member", hint=COPY_AGAIN)


def _damaged(why: str) -> ModelLoadError:
    return ModelLoadError(f"the zip archive is damaged or cut short: {why}", hint=COPY_AGAIN)
