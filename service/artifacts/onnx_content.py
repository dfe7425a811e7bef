"""Telling ONNX from the outside: a model, or an archive that a model came in together with its data files.

Nothing is unpacked but the first bytes of a file: enough to see whether it begins as a model does.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

# Field numbers of the outermost message of an ONNX file, ModelProto, with their wire types.
_MODEL_PROTO = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH = 1, 7
_MAX_MESSAGE_FIELDS = 100_000
_MAX_MEMBERS = 20_000
_HEAD = 256
_LONGEST_FIELD_HEAD = 20  # a tag and a length, ten bytes each
_BLOCK = 512
_PACKED_HEAD = 1 << 16
_FILES = (b"0", b"\0", b"7")
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError, OSError)


def is_model(file: BinaryIO, size: int) -> bool:
    """Whether the file is one whole ``ModelProto`` with an IR version and a graph, by its outermost fields."""
    file.seek(0)
    seen: set[int] = set()
    for _ in range(_MAX_MESSAGE_FIELDS):
        if file.tell() == size:
            return {_IR_VERSION, _GRAPH} <= seen
        field = _field(file)
        if field is None or file.tell() + field[1] > size:
            return False
        file.seek(field[1], 1)
        seen.add(field[0])
    return False


def zip_holds_model(archive: zipfile.ZipFile) -> bool:
    """Whether a member of the archive begins as a model does."""
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack more than they are asked for
    files = (entry for entry in archive.infolist() if entry.compress_type in methods)
    return any(_begins_model(_head(archive, entry), entry.file_size) for entry in files)


def is_tar(block: bytes) -> bool:
    """Whether the first block of a file is a tar header, by its checksum."""
    digits = block[148:156].strip(b" \0")
    if len(block) < _BLOCK or not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(block[:_BLOCK]) - sum(block[148:156]) + 8 * 0x20


def tar_holds_model(file: BinaryIO) -> bool:
    """Whether a file in the tar archive begins as a model does."""
    return any(_begins_model(file.read(min(_HEAD, size)), size) for size in _tar_files(file))


def gzip_holds_tar(file: BinaryIO) -> bool:
    """Whether what is packed begins as a tar archive; what is in it only unpacking could tell."""
    file.seek(0)
    try:
        return is_tar(zlib.decompressobj(wbits=31).decompress(file.read(_PACKED_HEAD), _BLOCK))
    except zlib.error:
        return False


def _tar_files(file: BinaryIO) -> Iterator[int]:
    """The sizes of the plain files, the file standing at their first byte each time."""
    position = 0
    for _ in range(_MAX_MEMBERS):
        file.seek(position)
        block = file.read(_BLOCK)
        if not is_tar(block):
            return
        digits = block[124:136].strip(b" \0")
        size = int.from_bytes(block[125:136], "big") if block[124] == 0x80 else _octal(digits)
        if block[156:157] in _FILES:
            yield size
        position += _BLOCK + -(-size // _BLOCK) * _BLOCK


def _octal(digits: bytes) -> int:
    return int(digits, 8) if digits and not digits.strip(b"01234567") else 0


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as stream:
            return stream.read(_HEAD)
    except _DAMAGE:
        return b""


def _begins_model(head: bytes, size: int) -> bool:
    """Whether a file of ``size`` bytes begins with an IR version and goes on as a model does, up to its graph."""
    file, seen = io.BytesIO(head), []
    end = len(head) if len(head) == size else len(head) - _LONGEST_FIELD_HEAD
    while file.tell() < end and _GRAPH not in seen:
        field = _field(file)
        if field is None or file.tell() + field[1] > size:
            return False
        file.seek(field[1], 1)
        seen.append(field[0])
    return seen[:1] == [_IR_VERSION] and (_GRAPH in seen or len(head) < size)


def _field(file: BinaryIO) -> tuple[int, int] | None:
    """Number and length of the field that begins here, if a model has it; a number's own length counts as none."""
    tag = _varint(file)
    value = _varint(file)
    if tag is None or value is None or _MODEL_PROTO.get(tag >> 3) != tag & 7:
        return None
    return tag >> 3, value if tag & 7 == 2 else 0


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
