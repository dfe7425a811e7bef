"""Tensors whose numbers lie in a file beside the model: found in the bundle that was uploaded, and nowhere else.

ONNX says of such a tensor in which file its numbers lie (``location``, relative to the model), from which byte on
(``offset``), how many bytes they are (``length``) and what the file's SHA-1 digest is (``checksum``).
"""

import hashlib
from collections.abc import Mapping
from math import prod
from posixpath import join, normpath
from typing import Final, final

from onnx import TensorProto

from eigengate.errors import ModelLoadError
from eigengate.loading.container import Content, Member, quoted

_BITS: Final[Mapping[int, int]] = {
    **dict.fromkeys((TensorProto.UINT2, TensorProto.INT2), 2),
    **dict.fromkeys((TensorProto.UINT4, TensorProto.INT4, TensorProto.FLOAT4E2M1), 4),
    **dict.fromkeys((TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL), 8),
    **dict.fromkeys((TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E8M0), 8),
    **dict.fromkeys((TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ), 8),
    **dict.fromkeys((TensorProto.UINT16, TensorProto.INT16, TensorProto.FLOAT16, TensorProto.BFLOAT16), 16),
    **dict.fromkeys((TensorProto.UINT32, TensorProto.INT32, TensorProto.FLOAT), 32),
    **dict.fromkeys((TensorProto.UINT64, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.COMPLEX64), 64),
    TensorProto.COMPLEX128: 128,
}
_OWN_NUMBERS: Final = (
    *("raw_data", "float_data", "double_data"),
    *("int32_data", "int64_data", "uint64_data", "string_data"),
)
_EXPORT_AGAIN: Final = "Save the model again, onnx.save(model, path, save_as_external_data=True), and pack it anew."


@final
class DataFiles:
    """The files of a bundle, by what the tensors of the model in ``folder`` call them.

    A file is unpacked when the first tensor asks for it, and kept for the others.
    """

    def __init__(self, members: Mapping[str, Member], folder: str) -> None:
        self._members = members
        self._folder = folder
        self._contents: dict[str, Content] = {}
        self._digests: dict[str, str] = {}

    def numbers(self, tensor: TensorProto) -> Content:
        """The bytes of an external tensor, as ``raw_data`` would hold them.

        Raises:
            ModelLoadError: they are not in the bundle, or not as many as the tensor's shape and type want.
        """
        what = f"tensor '{tensor.name[:200]}'"
        said = _statements(tensor, what)
        member = self._member(said["location"], what)
        size = stored_bytes(tensor)
        offset = _number(said.get("offset", "0"), "offset", what)
        length = _number(said["length"], "length", what) if "length" in said else size
        if length != size:
            raise ModelLoadError(
                f"{what} of shape {list(tensor.dims)} and type {_type_name(tensor)} takes {size:,} bytes, "
                f"but claims {length:,} of '{member.name}'",
                hint=_EXPORT_AGAIN,
            )
        if offset + size > member.size:
            raise ModelLoadError(
                f"{what} lies in '{member.name}' from byte {offset:,} to {offset + size:,}, but that file has "
                f"{member.size:,} bytes",
                hint="Pack the data file that belongs to this model, whole.",
            )
        self._check_digest(member, said.get("checksum"), what)
        return memoryview(self._content(member))[offset : offset + size]

    def _member(self, location: str, what: str) -> Member:
        parts = location.split("/")
        if not location or parts[0] == "" or ".." in parts or "\\" in location or not location.isprintable():
            raise ModelLoadError(
                f"{what} keeps its data at {location[:200]!r}, which is no path inside the bundle",
                hint="Data files lie beside the model or in folders below it, with / between the names.",
            )
        name = normpath(join(self._folder, location))
        if name not in self._members:
            raise ModelLoadError(
                f"{what} keeps its data in '{name}', which is not in the bundle; beside the model it holds "
                f"{quoted(list(self._members))}",
                hint="Pack every data file together with the model, under the names they were saved with.",
            )
        return self._members[name]

    def _content(self, member: Member) -> Content:
        if member.name not in self._contents:
            self._contents[member.name] = member.content
        return self._contents[member.name]

    def _check_digest(self, member: Member, wanted: str | None, what: str) -> None:
        if wanted is None:
            return
        if member.name not in self._digests:
            digest = hashlib.sha1(self._content(member), usedforsecurity=False).hexdigest()
            self._digests[member.name] = digest
        if (digest := self._digests[member.name]) != wanted.lower():
            raise ModelLoadError(
                f"{what} wants '{member.name}' with the SHA-1 digest {wanted[:80]!r}, but it has {digest}",
                hint="Pack the data file that belongs to this model, whole.",
            )


def stored_bytes(tensor: TensorProto) -> int:
    """How many bytes the tensor's shape and type take; numbers smaller than a byte are packed.

    Raises:
        ModelLoadError: it is text, of an unknown type, or has a negative size.
    """
    bits = _BITS.get(tensor.data_type)
    if bits is None or any(size < 0 for size in tensor.dims):
        raise ModelLoadError(
            f"tensor '{tensor.name[:200]}' of shape {list(tensor.dims)} and type {_type_name(tensor)} cannot lie in a "
            "data file",
            hint=_EXPORT_AGAIN,
        )
    return -(-prod(tensor.dims) * bits // 8)


def _statements(tensor: TensorProto, what: str) -> dict[str, str]:
    said = {entry.key: entry.value for entry in tensor.external_data}
    if len(said) != len(tensor.external_data):
        raise ModelLoadError(f"{what} says twice where its data lie", hint=_EXPORT_AGAIN)
    if "location" not in said:
        raise ModelLoadError(f"{what} keeps its data outside the model, but says not where", hint=_EXPORT_AGAIN)
    if any(getattr(tensor, field) for field in _OWN_NUMBERS):
        raise ModelLoadError(f"{what} has data both inside and outside the model", hint=_EXPORT_AGAIN)
    return said


def _number(text: str, key: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelLoadError(f"{what} has the {key} {text[:40]!r}, which is no number of bytes", hint=_EXPORT_AGAIN)
    return int(text)


def _type_name(tensor: TensorProto) -> str:
    known = tensor.data_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(tensor.data_type) if known else str(tensor.data_type)
