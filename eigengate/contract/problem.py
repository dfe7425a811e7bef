"""Every error answer of the service (RFC 9457)."""

from typing import Any, final

from pydantic import ConfigDict

from eigengate.contract.base import Contract, Items


@final
class Problem(Contract):
    """A problem detail: ``code`` is stable, ``detail`` says what happened, ``hint`` what to do.

    ``errors`` lists single faults with a JSON pointer where the input has many.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "https://eigengate.dev/problems/not_found",
                    "title": "There is no such audit",
                    "status": 404,
                    "code": "not_found",
                    "detail": "no audit aud_0198",
                    "instance": "/v1/audits/aud_0198",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None
    instance: str | None = None
    request_id: str | None = None
    errors: Items[dict[str, Any]] = ()
