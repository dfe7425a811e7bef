"""What happens during an audit, as it happens."""

from typing import Annotated, Literal, final

from pydantic import Field, TypeAdapter

from eigengate.contract.base import Contract, Items


@final
class StageEvent(Contract):
    """A new stage begins."""

    kind: Literal["stage"] = "stage"
    stage: str


@final
class ProgressEvent(Contract):
    """``done`` of ``total`` steps of a stage are finished."""

    kind: Literal["progress"] = "progress"
    stage: str
    done: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=1)]


@final
class LogEvent(Contract):
    """Something a person watching may want to know."""

    kind: Literal["log"] = "log"
    message: Annotated[str, Field(max_length=2000)]


@final
class FinishedEvent(Contract):
    """The audit reached its terminal status."""

    kind: Literal["finished"] = "finished"
    status: str
    verdict: str | None = None


AuditEvent = Annotated[StageEvent | ProgressEvent | LogEvent | FinishedEvent, Field(discriminator="kind")]
audit_event: TypeAdapter[AuditEvent] = TypeAdapter(AuditEvent)


@final
class EventLog(Contract):
    """Events of one audit in order, as the service lists them."""

    events: Items[AuditEvent] = ()
