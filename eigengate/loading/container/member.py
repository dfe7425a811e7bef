"""One file of an archive, and what every archive's files must keep to."""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from posixpath import normpath
from typing import Final, final

from eigengate.errors import ModelLoadError

Content = bytes | memoryview

MAX_MEMBERS: Final = 20_000
MAX_PACKED_BYTES: Final = 4 << 30
MAX_UNPACKED_BYTES: Final = 4 << 30
MAX_INFLATION: Final = 100
"""What inflates more than this is taken for a decompression bomb, if it is larger than ``FREE_INFLATION_BYTES``."""
FREE_INFLATION_BYTES: Final = 8 << 20
_LISTED: Final = 5
REPACK: Final = "Pack the files again with zip or tar: plain files under relative names, nothing else."


@final
@dataclass(frozen=True)
class Member:
    """A file in an archive: its normalised name, its size, and its first bytes on demand.

    ``read(n)`` gives the first n bytes, fewer only if the file is shorter, and unpacks no more than that.
    """

    name: str
    size: int
    read: Callable[[int], Content]

    @property
    def content(self) -> Content:
        """The whole file.

        Raises:
            ModelLoadError: it is damaged.
        """
        return self.read(self.size)


def checked_name(raw: str) -> str:
    """The name without ``.`` and doubled slashes.

    Raises:
        ModelLoadError: it is absolute, climbs out of the archive, or cannot be shown.
    """
    parts = raw.split("/")
    absolute = raw.startswith("/") or raw[1:2] == ":"
    if not raw or absolute or ".." in parts or "\\" in raw or not raw.isprintable():
        raise ModelLoadError(f"the archive has a member with an unsafe path: {raw[:200]!r}", hint=REPACK)
    return normpath(raw)


def checked_members(members: Iterable[Member]) -> tuple[Member, ...]:
    """The members, if they are few, small together and named unmistakably.

    Raises:
        ModelLoadError: they are not.
    """
    known: dict[str, str] = {}
    checked: list[Member] = []
    total = 0
    for member in members:
        check_count(len(checked) + 1)
        other = known.setdefault(_folded(member.name), member.name)
        if len(known) <= len(checked):
            raise ModelLoadError(f"the archive has two members named {other!r} and {member.name!r}", hint=REPACK)
        total += member.size
        check_total(total)
        checked.append(member)
    return tuple(checked)


def check_count(count: int) -> None:
    """Refuse more members than any model has files."""
    if count > MAX_MEMBERS:
        raise ModelLoadError(
            f"the archive has more than {MAX_MEMBERS} members", hint="Pack the model and its data files alone."
        )


def check_packed(size: int) -> None:
    """Refuse archives that are larger than anything we would unpack."""
    if size > MAX_PACKED_BYTES:
        raise ModelLoadError(
            f"the archive has more than {MAX_PACKED_BYTES:,} bytes", hint="Larger models are not audited."
        )


def check_total(size: int) -> None:
    """Refuse what would unpack to more than we hold in memory."""
    if size > MAX_UNPACKED_BYTES:
        raise ModelLoadError(
            f"the archive unpacks to more than {MAX_UNPACKED_BYTES:,} bytes",
            hint="Pack the model and its data files alone; larger models are not audited.",
        )


def check_inflation(what: str, packed: int, unpacked: int) -> None:
    """Refuse decompression bombs."""
    if unpacked > FREE_INFLATION_BYTES and unpacked > MAX_INFLATION * max(packed, 1):
        raise ModelLoadError(
            f"{what} inflates more than {MAX_INFLATION}-fold, to {unpacked:,} bytes or more",
            hint="Pack without compression: zip -0, or tar without -z.",
        )


def quoted(names: list[str]) -> str:
    """The names for a message, the first few of many."""
    shown = ", ".join(f"'{name}'" for name in names[:_LISTED])
    return (shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more") or "nothing"


def _folded(name: str) -> str:
    """What file systems that are careless about case and accents take the name for."""
    return unicodedata.normalize("NFC", name).casefold()
