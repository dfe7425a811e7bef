"""Where uploaded files are kept, by the digest of their content: a local folder or an S3 bucket.

Files arrive through ``Staging``, which hashes and limits them as they come; a store takes whole files only. Nothing
here knows audits or the database.
"""

from service.storage.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    StorageFullError,
    UploadTooLargeError,
)
from service.storage.local import LocalStore
from service.storage.opening import open_store
from service.storage.s3 import S3Store
from service.storage.staging import StagedFile, Staging
from service.storage.store import ArtifactStore, materialise

__all__ = [
    "ArtifactCorruptError",
    "ArtifactMissingError",
    "ArtifactStore",
    "LocalStore",
    "S3Store",
    "StagedFile",
    "Staging",
    "StorageFullError",
    "UploadTooLargeError",
    "materialise",
    "open_store",
]
