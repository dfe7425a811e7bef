"""What an uploaded file is, by its content alone: enough to refuse at once what no worker could audit.

Nothing is parsed or run, and nothing unpacked but the first bytes of files in archives. A file recognised here can
still turn out damaged when a worker reads it.
"""

import zipfile
from typing import BinaryIO

from eigengate.errors import ModelLoadError, ProbeFormatError, UnsupportedFormatError
from service.artifacts.onnx_content import gzip_holds_tar, is_model, is_tar, tar_holds_model, zip_holds_model

MODEL_FORMATS = ("torchscript", "onnx", "pt2")
PROBE_FORMATS = ("npz", "npy", "safetensors")

_EXPORT = "Export the model with torch.export.save, torch.jit.save(torch.jit.script(model), ...) or torch.onnx.export."
_PACK = "An ONNX model and its data files may come as a zip, tar or tar.gz archive; copy one cut short again."
_ARCHIVES = ("zip", "tar", "gzip")
_SAVE = "Save it with numpy.savez('probe.npz', x=..., y=...), numpy.save, or safetensors."
_MAX_MEMBERS = 20_000
_LONGEST_HEADER = 100 * 2**20


def recognise(file: BinaryIO, size: int) -> str:
    """The file's format, or what kind of stranger it is: ``checkpoint``, ``pickle``, ``zip``, …"""
    head = file.read(512)
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
    if head.startswith(b"\x1f\x8b"):
        return "onnx" if gzip_holds_tar(file) else "gzip"
    if is_tar(head):
        return "onnx" if tar_holds_model(file) else "tar"
    return "onnx" if is_model(file, size) else "empty" if size == 0 else "unknown"


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
    hint = "Are model and probe swapped?" if found in ("npz", "npy") else _PACK if found in _ARCHIVES else _EXPORT
    raise UnsupportedFormatError(
        f"the model is neither TorchScript, ONNX nor a torch.export archive: it is {name}", hint=hint
    )


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
            found = _named(archive.namelist())
            return "onnx" if found == "zip" and zip_holds_model(archive) else found
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError):
        return "damaged"


def _named(names: list[str]) -> str:
    """What kind of archive the names of its members make it, ``zip`` if they tell nothing."""
    if len(names) > _MAX_MEMBERS:
        return "damaged"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    inner = {name.partition("/")[2] for name in names}
    if ".data/extern_modules" in inner:
        return "package"
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return "pt2"
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return "torchscript"
    return "checkpoint" if "data.pkl" in inner else "zip"


_NAMES = {
    "torchscript": "TorchScript",
    "onnx": "ONNX",
    "pt2": "a torch.export archive",
    "npz": "arrays, as probe data are",
    "npy": "an array, as probe data are",
    "safetensors": "safetensors, which hold weights but no computation",
    "pickle": "a pickle, which can run code when opened",
    "checkpoint": "a PyTorch checkpoint, weights without computation, in a pickle",
    "package": "a torch.package archive, which runs Python code when opened",
    "hdf5": "an HDF5 file",
    "zip": "a zip archive of other files",
    "tar": "a tar archive of other files",
    "gzip": "packed by gzip, and no tar archive",
    "damaged": "a damaged zip archive",
    "empty": "empty",
}
