"""Why a request is refused, beyond what the library refuses.

    EigengateError
    └── RequestError                    the request, not the files in it
        ├── MalformedRequestError           cannot be read
        ├── InvalidRequestError             read, but parameters or parts make no sense
        ├── UnsupportedMediaTypeError       a body of a type this resource does not take
        ├── NotAcceptableError              an answer of a type this resource does not give
        ├── UnknownAuditError               there is no such audit
        ├── UnknownArtifactError            an audit of files that were not uploaded
        ├── NoArtifactError                 there is no such file
        ├── DigestMismatchError             the uploaded content has another digest
        ├── AuditNotFinishedError           the result is asked for too early
        ├── NoReportError                   the audit is over and has no report
        ├── NoVerdictError                  the report was never judged
        ├── QueueFullError                  too many audits wait
        └── NotReadyError                   something the service depends on is away

What status each gets stands in ``problems``.
"""

from typing import final

from eigengate.contract import AuditError
from eigengate.errors import EigengateError


class RequestError(EigengateError):
    """A request that is refused."""


@final
class MalformedRequestError(RequestError):
    """The request cannot be read."""

    code = "malformed_request"
    title = "The request cannot be read"


@final
class InvalidRequestError(RequestError):
    """Parameters or parts are missing, unknown or senseless; ``context["errors"]`` lists them."""

    code = "invalid_request"
    title = "The request is invalid"


@final
class UnsupportedMediaTypeError(RequestError):
    """The body has a type this resource does not take."""

    code = "unsupported_media_type"
    title = "The request's content type is not supported"


@final
class NotAcceptableError(RequestError):
    """The resource has no representation of a type the client accepts."""

    code = "not_acceptable"
    title = "There is no such representation"


@final
class UnknownAuditError(RequestError):
    """There is no audit of that id, or no longer."""

    code = "not_found"
    title = "There is no such audit"


@final
class NoArtifactError(RequestError):
    """There is no file of that digest, or no longer."""

    code = "artifact_not_found"
    title = "There is no such file"


@final
class UnknownArtifactError(RequestError):
    """An audit was submitted of a file that is not here."""

    code = "unknown_artifact"
    title = "The audit names a file that was not uploaded"


@final
class DigestMismatchError(RequestError):
    """The content that arrived has another digest than the one it was to be kept under."""

    code = "digest_mismatch"
    title = "The content does not match its digest"


@final
class AuditNotFinishedError(RequestError):
    """The audit has no result yet."""

    code = "audit_not_finished"
    title = "The audit is not finished"
    retriable = True


@final
class NoReportError(RequestError):
    """The audit ended without a report; ``reason`` is why."""

    code = "no_report"
    title = "The audit has no report"

    def __init__(self, reason: AuditError) -> None:
        super().__init__(reason.detail, hint=reason.hint)
        self.reason = reason


@final
class NoVerdictError(RequestError):
    """The audit's own policy could not be applied, so there is nothing to show in a verdict's format."""

    code = "no_verdict"
    title = "The report was not judged"


@final
class QueueFullError(RequestError):
    """As many audits wait as the service lets wait."""

    code = "queue_full"
    title = "Too many audits are waiting"
    retriable = True


@final
class NotReadyError(RequestError):
    """The database, the store or the broker does not answer."""

    code = "not_ready"
    title = "The service is not ready"
    retriable = True
