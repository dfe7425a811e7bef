"""Why a file cannot be stored or read back."""

from typing import final

from eigengate.errors import InfrastructureError, InputError


@final
class UploadTooLargeError(InputError):
    """The file exceeds the service's limit."""

    code = "upload_too_large"
    title = "The upload is too large"


@final
class StorageFullError(InfrastructureError):
    """There is too little free space to accept a file."""

    code = "storage_full"
    title = "The service's storage is full"


@final
class ArtifactMissingError(InfrastructureError):
    """A file that should be in the store is not."""

    code = "artifact_missing"
    title = "A stored file is missing"
    retriable = False


@final
class ArtifactCorruptError(InfrastructureError):
    """A stored file no longer has the digest it is kept under."""

    code = "artifact_corrupt"
    title = "A stored file is corrupt"
    retriable = False
