"""A multipart form on its way in: files go straight to disk, the few small fields are kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.body import SMALL_BODY
from service.refusals import InvalidRequestError, MalformedRequestError
from service.storage import StagedFile

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELDS = ("config", "policy", "labels")


@final
class IncomingForm:
    """Reads a ``multipart/form-data`` body chunk by chunk into ``files`` and ``fields``.

    Whether a part is a file goes by its name, not by how the client sends it: ``config`` may be a field or a file.
    """

    def __init__(self, content_type: str, files: Mapping[str, StagedFile]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedRequestError("the content type names no boundary", hint="Let your client set the header.")
        self.fields: dict[str, bytes] = {}
        self._files = files
        self._arrived: list[str] = []
        self._whole = False
        self._header, self._value, self._disposition = b"", b"", b""
        self._field = bytearray()
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise _unreadable(error) from None

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _unreadable(error) from None

    def finish(self) -> None:
        """The body is over: see that all of it came.

        Raises:
            MalformedRequestError: It was cut short.
            InvalidRequestError: A file is missing.
        """
        if not self._whole:
            raise MalformedRequestError("the form ends before its closing boundary", hint="Send it again, whole.")
        missing = [name for name in self._files if name not in self._arrived]
        if missing:
            errors = [{"pointer": f"/{name}", "message": "this part is missing"} for name in missing]
            raise InvalidRequestError(
                f"the form lacks {' and '.join(missing)}",
                hint="curl -F model=@model.onnx -F probe=@probe.npz …",
                context={"errors": errors},
            )
        for file in self._files.values():
            file.seal()

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._close,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        known = (*self._files, *FIELDS)
        if name not in known:
            raise _strange_part(name, f"unknown part {name!r}; the parts are {', '.join(known)}")
        if name in self._arrived:
            raise _strange_part(name, f"part {name!r} came twice")
        self._arrived.append(name)
        self._field = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        name = self._arrived[-1]
        if name in self._files:
            self._files[name].write(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > SMALL_BODY:
            raise _strange_part(name, f"part {name!r} has more than {SMALL_BODY} bytes")

    def _close(self) -> None:
        if self._arrived[-1] not in self._files:
            self.fields[self._arrived[-1]] = bytes(self._field)

    def _end(self) -> None:
        self._whole = True


def _strange_part(name: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(message, context={"errors": [{"pointer": f"/{name}", "message": message}]})


def _unreadable(error: FormParserError) -> MalformedRequestError:
    return MalformedRequestError(f"the form cannot be read: {error}", hint="Send multipart/form-data (RFC 7578).")
