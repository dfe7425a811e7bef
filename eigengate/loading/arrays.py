"""Arrays from ``.npz``, ``.npy`` and ``.safetensors`` bytes, told apart by content; pickles are never opened."""

import io
import struct
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from eigengate.errors import ProbeError, ProbeFormatError

Arrays = dict[str, NDArray[np.generic]]
HINT = "save it with numpy.savez('probe.npz', x=..., y=...), numpy.save, or safetensors"
_MAX_DECLARED_BYTES = 2**31
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, OSError, EOFError),
    *(ValueError, OverflowError),
)


def read_arrays(data: bytes) -> Arrays:
    """Every array of the file by name; a bare ``.npy`` array is called ``x``.

    Raises:
        ProbeFormatError: another format, a pickled array, a damaged file.
    """
    if not data:
        raise ProbeFormatError("the probe file is empty", hint=HINT)
    if data[:4] == b"PK\x03\x04":
        return _read_npz(data)
    if data[:6] == b"\x93NUMPY":
        return {"x": _read_npy("x", io.BytesIO(data), len(data))}
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return _read_safetensors(data)
    if data[:1] == b"\x80":
        raise ProbeFormatError("the probe file is a pickle, which can run code when opened", hint=HINT)
    raise ProbeFormatError(f"the probe file starts with {data[:8]!r}: not .npz, .npy or .safetensors", hint=HINT)


def _read_npz(data: bytes) -> Arrays:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _MAX_DECLARED_BYTES:
                raise ProbeFormatError(f"the probe file unpacks to more than {_MAX_DECLARED_BYTES} bytes")
            strangers = [member.filename for member in members if not member.filename.endswith(".npy")]
            if strangers:
                raise ProbeFormatError(f"the archive holds files that are no arrays: {strangers[:5]}", hint=HINT)
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) != len(names):
                raise ProbeFormatError(f"the archive names an array twice: {names[:10]}")
            return {
                name: _read_npy(name, io.BytesIO(_inflated(archive, member)), member.file_size)
                for name, member in zip(names, members, strict=True)
            }
    except ProbeError:
        raise
    except _DAMAGE as error:
        raise ProbeFormatError(f"the .npz archive is damaged: {error}", hint=HINT) from error


def _inflated(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The member's bytes; asked for by number, because without one zipfile inflates past the size it was promised."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size)
        stream.read(1)  # at its end the checksum is compared
        return content


def _read_npy(name: str, stream: io.BytesIO, size: int) -> NDArray[np.generic]:
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        held = size - stream.tell()
        # A header may declare far more than the file holds; numpy would allocate first and notice later.
        if int(np.prod(shape, dtype=object)) * dtype.itemsize > held:
            raise ProbeFormatError(
                f"array {name!r} declares shape {shape}, more than the {held} bytes that follow", hint=HINT
            )
        stream.seek(0)
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except (ValueError, TypeError, EOFError, OSError, MemoryError, SyntaxError, OverflowError) as error:
        if isinstance(error, ProbeError):
            raise
        raise ProbeFormatError(f"array {name!r} cannot be read: {error}", hint=HINT) from error


def _read_safetensors(data: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(data))
    except KeyError as error:  # names the type that numpy has no equal for
        raise ProbeFormatError(f"the .safetensors file holds numbers of type {error}", hint=HINT) from error
    except (SafetensorError, ValueError) as error:
        raise ProbeFormatError(f"the .safetensors file cannot be read: {error}", hint=HINT) from error
