"""What can be done with stored files on their own."""

from collections.abc import Iterator

from eigengate.contract import ArtifactInfo
from service.artifacts.recognition import recognise, require_known
from service.artifacts.repository import ArtifactRepository
from service.context import Context
from service.refusals import DigestMismatchError, NoArtifactError
from service.storage import StagedFile


def keep(context: Context, staged: StagedFile, sha256: str) -> tuple[ArtifactInfo, bool]:
    """Keep a file that arrived under the digest it should have; whether it is new.

    Raises:
        DigestMismatchError: Its content has another one.
        UnsupportedFormatError: No audit could use it.
    """
    staged.seal()
    if staged.sha256 != sha256:
        raise DigestMismatchError(f"the content has the digest {staged.sha256}", hint="PUT it there, or send it again.")
    with staged.read() as content:
        info = ArtifactInfo(sha256=sha256, size=staged.size, format=require_known(recognise(content, staged.size)))
    with context.database.session() as session:
        new = ArtifactRepository(session).record(info)
        context.store.put(staged)
    return info, new


def find(context: Context, sha256: str) -> ArtifactInfo:
    """What is known of the file; raises ``NoArtifactError``."""
    with context.database.reading() as session:
        info = ArtifactRepository(session).get(sha256)
    if info is None:
        raise NoArtifactError(f"there is no file {sha256}", hint="PUT it here.")
    return info


def content(context: Context, sha256: str) -> tuple[ArtifactInfo, Iterator[bytes]]:
    """The file and its bytes; raises ``NoArtifactError``, or ``ArtifactMissingError`` if only its bytes are gone."""
    info = find(context, sha256)
    return info, context.store.stream(sha256)
