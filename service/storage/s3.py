"""Files in an S3 bucket, or in anything that speaks its protocol."""

from collections.abc import Iterator
from typing import final

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import S3Store as Bucket

from service.storage.errors import ArtifactMissingError
from service.storage.staging import StagedFile

_CHUNK = 8 * 1024 * 1024


@final
class S3Store:
    """Keeps each file as one object. S3 shows an object only once it is whole."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, staged: StagedFile) -> None:
        if self.stat(staged.sha256) != staged.size:
            with staged.read() as file:
                obstore.put(self._bucket, _key(staged.sha256), file, chunk_size=_CHUNK)

    def stat(self, sha256: str) -> int | None:
        try:
            return obstore.head(self._bucket, _key(sha256))["size"]
        except (NotFoundError, FileNotFoundError):
            return None

    def stream(self, sha256: str) -> Iterator[bytes]:
        try:
            found = obstore.get(self._bucket, _key(sha256))
        except (NotFoundError, FileNotFoundError):
            raise ArtifactMissingError(f"the store has no file {sha256}", hint="upload it again") from None
        return (bytes(chunk) for chunk in found.stream(min_chunk_size=_CHUNK))

    def delete(self, sha256: str) -> None:
        obstore.delete(self._bucket, _key(sha256))

    def digests(self) -> Iterator[str]:
        for page in obstore.list(self._bucket, prefix="sha256/"):
            yield from (entry["path"].rpartition("/")[2] for entry in page)

    def ping(self) -> None:
        self.stat("0" * 64)


def _key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"
