"""Files as clients upload them, made with the standard library: the service looks at their outside only."""

import io
import json
import struct
import tarfile
import zipfile

# ModelProto: ir_version = 7, and a graph of the name "g".
ONNX = b"\x08\x07\x3a\x03\x12\x01g"
NPY = (
    b"\x93NUMPY\x01\x00"
    + struct.pack("<H", 70)
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".ljust(69)
    + b"\n"
)
NPY += b"\0" * 24
PICKLE = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94."
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(64)


def archive(*names: str, content: bytes = b"") -> bytes:
    """A zip archive of members with these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


TORCHSCRIPT = archive("m/constants.pkl", "m/data.pkl", "m/code/__torch__.py", "m/version")
CHECKPOINT = archive("m/data.pkl", "m/version", "m/data/0")
PT2 = archive("m/archive_format", "m/models/model.json")
OLD_PT2 = archive("version", "serialized_exported_program.json", "serialized_state_dict.pt")
PACKAGE = archive("m/.data/extern_modules", "m/model.pkl")
NPZ = archive("x.npy", "y.npy", content=NPY)


def tar(mode: str, **members: bytes) -> bytes:
    """A tar archive, or with ``w:gz`` a gzipped one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def bundle(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """A zip archive of files with their contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


WEIGHTS = bytes(range(256)) * 8
# The model stands behind the data: it must be looked for.
BUNDLES = {
    "zip, stored": bundle(zipfile.ZIP_STORED, data=WEIGHTS, model=ONNX),
    "zip, deflated": bundle(data=WEIGHTS, model=ONNX),
    "tar": tar("w", data=WEIGHTS, model=ONNX),
    "tar.gz": tar("w:gz", data=WEIGHTS, model=ONNX),
}


def safetensors() -> bytes:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(24)
