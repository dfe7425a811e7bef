"""What kind of PyTorch file some bytes are, and a TorchScript archive whose container has been checked."""

import enum
import io
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from typing import Final, final

from eigengate.errors import ModelLoadError, UnsupportedFormatError

MAX_MEMBERS: Final = 20_000
MAX_INFLATED_BYTES: Final = 4 << 30
MAX_INFLATION: Final = 100
"""Above this ratio a member larger than ``FREE_INFLATION_BYTES`` is taken for a decompression bomb."""
FREE_INFLATION_BYTES: Final = 8 << 20

# What torch.jit.save writes and torch.jit.load needs; everything else (debug pickles, extra files) is left behind.
_NEEDED = re.compile(
    r"version|byteorder|(data|constants)\.pkl|(data|constants)/\d+|code/.+\.py|\.data/(serialization_id|version)"
)
_TRACED = re.compile(r"traced_inputs\.pkl")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError)


@final
class ArchiveKind(enum.Enum):
    """What the names inside a file say it is."""

    TORCHSCRIPT = "TorchScript archive"
    EXPORTED_PROGRAM = "torch.export archive (.pt2)"
    EAGER_CHECKPOINT = "eager PyTorch checkpoint"
    TORCH_PACKAGE = "torch.package archive"
    BARE_PICKLE = "bare pickle"
    UNREADABLE_ZIP = "damaged zip archive"
    OTHER = "unknown"


@final
@dataclass(frozen=True)
class Archive:
    """The members of a TorchScript archive that matter, without their common top folder."""

    members: dict[str, bytes]
    traced_inputs: bytes | None

    def code(self) -> dict[str, str]:
        """The archive's TorchScript sources by path."""
        sources = {name: data for name, data in self.members.items() if name.startswith("code/")}
        try:
            return {name: data.decode("utf-8") for name, data in sources.items()}
        except UnicodeDecodeError as error:
            raise ModelLoadError(f"TorchScript source is not UTF-8: {error}") from error

    def repacked(self) -> bytes:
        """A canonical archive of exactly the checked members: PyTorch's zip reader never sees the uploaded bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for name, data in self.members.items():
                file.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
        return buffer.getvalue()


def sniff(data: bytes) -> ArchiveKind:
    """Tell the kind of a file from its content alone; nothing is unpickled or executed."""
    if not data.startswith(b"PK"):
        pickled = len(data) > 1 and data[0] == 0x80 and data[1] in range(2, 6)
        return ArchiveKind.BARE_PICKLE if pickled else ArchiveKind.OTHER
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = {name.partition("/")[2] for name in file.namelist()}
    except _UNREADABLE:
        return ArchiveKind.UNREADABLE_ZIP
    if ".data/extern_modules" in names:
        return ArchiveKind.TORCH_PACKAGE
    if names & {"archive_format", "serialized_exported_program.json"}:
        return ArchiveKind.EXPORTED_PROGRAM
    has_code = any(name.startswith("code/") for name in names)
    if "constants.pkl" in names and has_code:
        return ArchiveKind.TORCHSCRIPT
    return ArchiveKind.EAGER_CHECKPOINT if "data.pkl" in names else ArchiveKind.OTHER


def is_torchscript(data: bytes) -> bool:
    """Whether the bytes are a TorchScript archive, by content."""
    return sniff(data) is ArchiveKind.TORCHSCRIPT


def open_archive(data: bytes) -> Archive:
    """Check a TorchScript archive's container and take its members.

    Raises:
        UnsupportedFormatError: The bytes are another kind of file; the hint says what to export instead.
        ModelLoadError: The container is damaged, ambiguous or hostile.
    """
    kind = sniff(data)
    if kind is ArchiveKind.UNREADABLE_ZIP:
        raise ModelLoadError("The zip archive is damaged or cut short", hint="Upload the file again, whole.")
    if kind is ArchiveKind.OTHER:
        raise UnsupportedFormatError(
            f"Not a TorchScript archive and not a whole ONNX model: the file starts with {data[:8]!r}",
            hint=f"{_EXPORT_HINT} A model cut short on its way must be copied again.",
        )
    if kind is not ArchiveKind.TORCHSCRIPT:
        raise UnsupportedFormatError(f"Not a TorchScript archive but: {kind.value}", hint=_HINTS.get(kind))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = file.infolist()
            _check_entries(entries, len(data))
            contents = {entry.filename.partition("/")[2]: entry for entry in entries}
            members = {name: file.read(entry) for name, entry in contents.items() if _NEEDED.fullmatch(name)}
            traced = {name: file.read(entry) for name, entry in contents.items() if _TRACED.fullmatch(name)}
    except _UNREADABLE as error:
        raise ModelLoadError(f"The zip archive cannot be read: {error}") from error
    return Archive(members, traced.get("traced_inputs.pkl"))


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > MAX_MEMBERS:
        raise ModelLoadError(f"The archive has {len(entries)} members, more than {MAX_MEMBERS}")
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise ModelLoadError("The archive has members of the same name")
    if len({name.partition("/")[0] for name in names}) != 1:
        raise ModelLoadError("The archive's members do not share one top folder")
    for entry in entries:
        _check_entry(entry)
    if sum(entry.compress_size for entry in entries) > size:
        raise ModelLoadError("The archive's members overlap")
    if (total := sum(entry.file_size for entry in entries)) > MAX_INFLATED_BYTES:
        raise ModelLoadError(f"The archive inflates to {total} bytes, more than {MAX_INFLATED_BYTES}")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    # zipfile cuts names at NUL; orig_filename is what stands in the file.
    parts = entry.orig_filename.split("/")
    if ".." in parts or parts[0] == "" or "\\" in entry.orig_filename or not entry.orig_filename.isprintable():
        raise ModelLoadError(f"The archive has a member with an unsafe path: {entry.orig_filename!r}")
    if entry.flag_bits & 0x1:
        raise ModelLoadError(f"The archive member {name!r} is encrypted")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ModelLoadError(f"The archive member {name!r} is a symbolic link")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ModelLoadError(f"The archive member {name!r} uses compression method {entry.compress_type}")
    if entry.file_size > FREE_INFLATION_BYTES and entry.file_size > MAX_INFLATION * max(entry.compress_size, 1):
        raise ModelLoadError(
            f"The archive member {name!r} inflates {entry.file_size // max(entry.compress_size, 1)}-fold"
        )


_EXPORT_HINT = "Export the model with torch.jit.trace/torch.jit.script and torch.jit.save, or with torch.onnx.export."
_HINTS: Final = {
    ArchiveKind.EAGER_CHECKPOINT: f"It holds weights but no computation. {_EXPORT_HINT}",
    ArchiveKind.BARE_PICKLE: f"Pickles execute code when opened and are never read here. {_EXPORT_HINT}",
    ArchiveKind.TORCH_PACKAGE: f"torch.package runs Python code when opened. {_EXPORT_HINT}",
    ArchiveKind.EXPORTED_PROGRAM: f"torch.export archives are not yet supported. {_EXPORT_HINT}",
}
