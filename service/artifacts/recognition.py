"""What an uploaded file is, by its content alone: enough to refuse at once what no worker could audit.

Nothing is unpacked, parsed or run. A file recognised here can still turn out damaged when a worker reads it.
"""

import zipfile
from typing import BinaryIO

from eigengate.errors import ModelLoadError, ProbeFormatError, UnsupportedFormatError

MODEL_FORMATS = ("torchscript", "onnx")
PROBE_FORMATS = ("npz", "npy", "safetensors")

_EXPORT = "Export the model with torch.jit.save(torch.jit.script(model), ...) or with torch.onnx.export."
_SAVE = "Save it with numpy.savez('probe.npz', x=..., y=...), numpy.save, or safetensors."
_MAX_MEMBERS = 20_000
_MAX_MESSAGE_FIELDS = 100_000
_LONGEST_HEADER = 100 * 2**20
# Field numbers of the outermost message of an ONNX file, ModelProto, with their wire types.
_MODEL_PROTO = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION, _GRAPH = 1, 7


def recognise(file: BinaryIO, size: int) -> str:
    """The file's format, or what kind of stranger it is: ``checkpoint``, ``pickle``, ``exported``, ``zip``, …"""
    head = file.read(16)
    if head.startswith(b"PK\x03\x04"):
        return _archive(file)
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= min(size - 8, _LONGEST_HEADER):
        return "safetensors"
    return "onnx" if _is_onnx(file, size) else "empty" if size == 0 else "unknown"


def require_model(found: str) -> str:
    """``found``, if models have that format.

    Raises:
        ModelLoadError: The file is empty or damaged.
        UnsupportedFormatError: It is something else; the hint says what to export instead.
    """
    if found in MODEL_FORMATS:
        return found
    name = _NAMES.get(found, "of no format known here")
    if found in ("empty", "damaged"):
        raise ModelLoadError(f"the model file is {name}", hint="Upload the file again, whole.")
    hint = "Are model and probe swapped?" if found in ("npz", "npy") else _EXPORT
    raise UnsupportedFormatError(f"the model is neither TorchScript nor ONNX: it is {name}", hint=hint)


def require_probe(found: str) -> str:
    """``found``, if probe data have that format.

    Raises:
        ProbeFormatError: They have not; the hint says how to save them.
    """
    if found in PROBE_FORMATS:
        return found
    if found in MODEL_FORMATS:
        raise ProbeFormatError(f"the probe file is a model ({_NAMES[found]})", hint="Are model and probe swapped?")
    name = _NAMES.get(found, "of no format known here")
    raise ProbeFormatError(f"the probe file is not .npz, .npy or .safetensors: it is {name}", hint=_SAVE)


def require_known(found: str) -> str:
    """``found``, if models or probe data have that format; raises as ``require_model`` does."""
    return found if found in PROBE_FORMATS else require_model(found)


def _archive(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError):
        return "damaged"
    if len(names) > _MAX_MEMBERS:
        return "damaged"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    inner = {name.partition("/")[2] for name in names}
    if ".data/extern_modules" in inner:
        return "package"
    if inner & {"archive_format", "serialized_exported_program.json"}:
        return "exported"
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return "torchscript"
    return "checkpoint" if "data.pkl" in inner else "zip"


def _is_onnx(file: BinaryIO, size: int) -> bool:
    """Whether the file is one whole ``ModelProto`` with an IR version and a graph, by its outermost fields."""
    file.seek(0)
    seen: set[int] = set()
    for _ in range(_MAX_MESSAGE_FIELDS):
        if file.tell() == size:
            return {_IR_VERSION, _GRAPH} <= seen
        tag = _varint(file)
        value = _varint(file)
        if tag is None or value is None or _MODEL_PROTO.get(tag >> 3) != tag & 7:
            return False
        if tag & 7 == 2:
            if file.tell() + value > size:
                return False
            file.seek(value, 1)
        seen.add(tag >> 3)
    return False


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


_NAMES = {
    "torchscript": "TorchScript",
    "onnx": "ONNX",
    "npz": "arrays, as probe data are",
    "npy": "an array, as probe data are",
    "safetensors": "safetensors, which hold weights but no computation",
    "pickle": "a pickle, which can run code when opened",
    "checkpoint": "a PyTorch checkpoint, weights without computation, in a pickle",
    "package": "a torch.package archive, which runs Python code when opened",
    "exported": "a torch.export archive (.pt2), not supported yet",
    "hdf5": "an HDF5 file",
    "zip": "a zip archive of other files",
    "damaged": "a damaged zip archive",
    "empty": "empty",
}
