"""What the service tells of itself."""

from typing import Literal, final

from eigengate.contract import Quantity
from eigengate.contract.base import Contract, Items


@final
class Health(Contract):
    """The service is as asked for."""

    status: Literal["ok"] = "ok"


@final
class Limits(Contract):
    """What a request may not exceed."""

    max_upload_bytes: int
    max_request_text_bytes: int
    max_wait_s: int
    max_queued: int
    time_limit_s: float
    memory_limit_bytes: int
    max_attempts: int


@final
class Formats(Contract):
    """What is taken in and given out."""

    model: Items[str]
    probe: Items[str]
    report: Items[str]


@final
class Info(Contract):
    """What this service is and can do. ``sandbox`` is the workers' business and unknown here."""

    name: Literal["eigengate"] = "eigengate"
    versions: dict[str, str]
    limits: Limits
    formats: Formats
    quantities: Items[Quantity]
    policy_presets: Items[str]
    sandbox: Literal["unknown"] = "unknown"
