"""ONNX models beside their data files, and archives of files."""

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import onnx

Files = Mapping[str, bytes]


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive; names that end in a slash are folders."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method if content else zipfile.ZIP_STORED)
    return stream.getvalue()


def tarred(files: Files, mode: str = "w", layout: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=layout) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def apart(model: bytes, **options: object) -> dict[str, bytes]:
    """The files that onnx.save writes for a model whose tensors all lie outside: one data file, or one a tensor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        arguments = {"location": "model.onnx.data", "size_threshold": 0, "convert_attribute": True, **options}
        onnx.save(onnx.load_from_string(model), path, save_as_external_data=True, **arguments)
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
