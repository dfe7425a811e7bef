"""Every message inside a protobuf message, whatever the schema calls the fields they stand in."""

from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import TensorProto


def messages_in(message: Message) -> Iterator[Message]:
    """The message itself and every message inside it."""
    pending = [message]
    while pending:
        current = pending.pop()
        yield current
        for descriptor, value in current.ListFields():
            if descriptor.type == descriptor.TYPE_MESSAGE:
                pending.extend(value if isinstance(value, _REPEATED) else [value])


def tensors_in(message: Message) -> Iterator[TensorProto]:
    """Every tensor: initialisers, sparse ones included, and attributes, in subgraphs and functions too."""
    for part in messages_in(message):
        if isinstance(part, TensorProto):
            yield part


_REPEATED: Any = type(onnx.GraphProto().node)
