"""Telling ONNX by content: the format has no magic number, so the outermost protobuf message is walked strictly."""

from collections.abc import Iterator

# Field numbers of ModelProto with their wire types: 0 is a varint, 2 a length and that many bytes.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH = 1, 7
_LONGEST_FIELD_HEAD = 20  # a tag and a length, ten bytes each


def is_onnx(data: bytes) -> bool:
    """Whether the bytes are one whole ``ModelProto`` with an IR version and a graph, by its outermost fields only."""
    try:
        fields = set(_fields(data, len(data)))
    except ValueError:
        return False
    return {_IR_VERSION, _GRAPH} <= fields


def may_be_onnx(head: bytes, size: int) -> bool:
    """Whether a file of ``size`` bytes that begins with ``head`` may be one: nothing in sight contradicts it."""
    try:
        return len(list(_fields(head, size))) > 0
    except ValueError:
        return False


def _fields(data: bytes, size: int) -> Iterator[int]:
    """The numbers of the fields that begin in ``data``, the first bytes of a message of ``size`` bytes."""
    position = 0
    whole = len(data) == size
    while position < (len(data) if whole else len(data) - _LONGEST_FIELD_HEAD):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if _MODEL_FIELDS.get(number) != wire_type:
            raise ValueError(f"no field {number} of wire type {wire_type} in a ModelProto")
        value, position = _varint(data, position)
        if wire_type == 2:
            position += value
        if position > size:
            raise ValueError("a field reaches beyond the end")
        yield number


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("a number reaches beyond the end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")
