"""Files as clients upload them, made with the standard library: the service looks at their outside only."""

import io
import json
import struct
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
EXPORTED = archive("m/archive_format", "m/models/model.json")
PACKAGE = archive("m/.data/extern_modules", "m/model.pkl")
NPZ = archive("x.npy", "y.npy", content=NPY)


def safetensors() -> bytes:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(24)
