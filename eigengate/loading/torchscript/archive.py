"""What kind of PyTorch file some bytes are, and a TorchScript archive whose container has been checked."""

import enum
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from eigengate.errors import ModelLoadError, UnsupportedFormatError
from eigengate.loading.container import Member, is_gzip, is_tar, is_zip, quoted, tar_members, zip_members, zip_names

# What torch.jit.save writes and torch.jit.load needs.
_NEEDED: Final = re.compile(
    r"version|byteorder|(data|constants)\.pkl|(data|constants)/\d+|code/.+\.py|\.data/(serialization_id|version)"
)
# What else it writes: positions in the source, example inputs, the bytecode of mobile runtimes, files of the user's.
_LEFT_BEHIND: Final = re.compile(
    r"code/.+\.debug_pkl|debug_pkl/.+|traced_inputs(\.pkl|/\d+)|bytecode(\.pkl|/\d+)|mobile_debug_handles(\.pkl|/\d+)"
    r"|callstack_debug_map\.pkl|delegated_backends\.pkl|\.format_version|\.storage_alignment|extra/.+"
)
_TRACED: Final = "traced_inputs.pkl"
_FLAT_PROGRAM: Final = "serialized_exported_program.json"
_OLDEST_CHECKPOINT: Final = frozenset({"sys_info", "storages", "tensors", "pickle"})
_OLD_CHECKPOINT: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How torch.save began before it wrote zip archives: protocol 2, then a ten-byte magic number."""
_SAVE_AGAIN: Final = "Save the model again with torch.jit.save, and upload that file as it is."


@final
class ArchiveKind(enum.Enum):
    """What the names inside a file say it is."""

    TORCHSCRIPT = "TorchScript archive"
    OLDEST_TORCHSCRIPT = "TorchScript archive of the first versions of PyTorch 1"
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
            raise ModelLoadError(f"TorchScript source is not UTF-8: {error}", hint=_SAVE_AGAIN) from error

    def storages(self, folder: str) -> dict[str, bytes]:
        """The numbers of tensors in a folder, by their keys."""
        found = {name.removeprefix(f"{folder}/"): data for name, data in self.members.items()}
        return {key: data for key, data in found.items() if key.isdigit()}

    def repacked(self) -> bytes:
        """A canonical archive of exactly the checked members: PyTorch's zip reader never sees the uploaded bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for name, data in self.members.items():
                file.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
        return buffer.getvalue()


def sniff(data: bytes) -> ArchiveKind:
    """Tell the kind of a file from its content alone; nothing is unpickled or executed."""
    if is_zip(data):
        try:
            return _kind(zip_names(data))
        except ModelLoadError:
            return ArchiveKind.UNREADABLE_ZIP
    if data.startswith(b"PK"):
        return ArchiveKind.UNREADABLE_ZIP
    if data.startswith(_OLD_CHECKPOINT) or _is_oldest_checkpoint(data):
        return ArchiveKind.EAGER_CHECKPOINT
    pickled = len(data) > 1 and data[0] == 0x80 and data[1] in range(2, 6)
    return ArchiveKind.BARE_PICKLE if pickled else ArchiveKind.OTHER


def _kind(names: tuple[str, ...]) -> ArchiveKind:
    inner = {name.partition("/")[2] for name in names}
    if ".data/extern_modules" in inner:
        return ArchiveKind.TORCH_PACKAGE
    if "archive_format" in inner or _FLAT_PROGRAM in names:
        return ArchiveKind.EXPORTED_PROGRAM
    if any(name.startswith("code/") for name in inner):
        if "constants.pkl" in inner:
            return ArchiveKind.TORCHSCRIPT
        if "model.json" in inner:
            return ArchiveKind.OLDEST_TORCHSCRIPT
    return ArchiveKind.EAGER_CHECKPOINT if "data.pkl" in inner else ArchiveKind.OTHER


def _is_oldest_checkpoint(data: bytes) -> bool:
    """Whether the bytes are what torch.save wrote before PyTorch 0.2: a tar archive of four files."""
    if is_gzip(data) or not is_tar(data):
        return False
    try:
        return {member.name for member in tar_members(data)} == _OLDEST_CHECKPOINT
    except ModelLoadError:
        return False


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
    if kind is ArchiveKind.OTHER:
        raise UnsupportedFormatError(
            f"Not a TorchScript archive and not a whole ONNX model: the file starts with {data[:8]!r}",
            hint=f"{_EXPORT_HINT} A model cut short on its way must be copied again.",
        )
    if kind in _HINTS:
        raise UnsupportedFormatError(f"Not a TorchScript archive but: {kind.value}", hint=_HINTS[kind])
    members = _inner({member.name: member for member in zip_members(data)})
    strangers = [name for name in members if not (_NEEDED.fullmatch(name) or _LEFT_BEHIND.fullmatch(name))]
    if strangers:
        raise ModelLoadError(
            f"The archive has members that no TorchScript archive has: {quoted(strangers)}", hint=_SAVE_AGAIN
        )
    taken = {name: bytes(member.content) for name, member in members.items() if _NEEDED.fullmatch(name)}
    if taken.get("byteorder", b"little") != b"little":
        raise ModelLoadError("The archive was written on a big-endian machine", hint="Save it on a little-endian one.")
    return Archive(taken, bytes(members[_TRACED].content) if _TRACED in members else None)


def _inner(members: Mapping[str, Member]) -> dict[str, Member]:
    """The members without their top folder, which must be the same for all."""
    tops = sorted({name.partition("/")[0] for name in members})
    if len(tops) != 1:
        raise ModelLoadError(f"The archive's members do not share one top folder: {quoted(tops)}", hint=_SAVE_AGAIN)
    return {name.partition("/")[2]: member for name, member in members.items()}


_EXPORT_HINT: Final = (
    "Export the model with torch.jit.trace/torch.jit.script and torch.jit.save, with torch.onnx.export, or with "
    "torch.export.save."
)
_HINTS: Final = {
    ArchiveKind.EAGER_CHECKPOINT: f"It holds weights but no computation. {_EXPORT_HINT}",
    ArchiveKind.BARE_PICKLE: f"Pickles execute code when opened and are never read here. {_EXPORT_HINT}",
    ArchiveKind.TORCH_PACKAGE: f"torch.package runs Python code when opened. {_EXPORT_HINT}",
    ArchiveKind.EXPORTED_PROGRAM: "It is read by load_model, which tells the formats apart, not as TorchScript.",
    ArchiveKind.OLDEST_TORCHSCRIPT: "Load it with a later PyTorch and save it again with torch.jit.save.",
}
