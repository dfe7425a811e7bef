"""What a store of files can do."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from service.storage.errors import ArtifactCorruptError
from service.storage.staging import StagedFile


class ArtifactStore(Protocol):
    """Keeps whole files under the SHA-256 of their content; keeping a file that is there changes nothing."""

    def put(self, staged: StagedFile) -> None:
        """Keep a staged file; afterwards it is there whole, whatever else fails."""
        ...

    def stat(self, sha256: str) -> int | None:
        """The file's size in bytes; null if there is none."""
        ...

    def stream(self, sha256: str) -> Iterator[bytes]:
        """The file's content in chunks.

        Raises:
            ArtifactMissingError: There is no such file; raised at once, not at the first chunk.
        """
        ...

    def delete(self, sha256: str) -> None:
        """Forget the file; nothing happens if there is none."""
        ...

    def digests(self) -> Iterator[str]:
        """The digests of all files."""
        ...

    def ping(self) -> None:
        """Return if the store answers; raise what it answers otherwise."""
        ...


def materialise(store: ArtifactStore, sha256: str, target: Path) -> None:
    """Write the file to ``target``, a copy of its own, after checking its content against its digest.

    Raises:
        ArtifactMissingError: The store has no such file.
        ArtifactCorruptError: The content has another digest; nothing stays at ``target``.
    """
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in store.stream(sha256):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        target.unlink()
        raise ArtifactCorruptError(
            f"the stored file {sha256} now has the digest {digest.hexdigest()}", hint="upload it again"
        )
