"""What a child process may say: one JSON object a line, every line capped and validated, none of it believed."""

from typing import Annotated, Literal, final

from pydantic import Field, TypeAdapter, ValidationError

from eigengate.contract import AuditError, LogEvent, ProgressEvent, StageEvent
from eigengate.contract.base import Contract

MAX_LINE_BYTES = 64 * 1024
MAX_TEXT = 4000


@final
class Failure(Contract):
    """The child's last line if it gives up: why."""

    kind: Literal["failed"] = "failed"
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    title: Annotated[str, Field(max_length=200)]
    detail: Annotated[str, Field(max_length=MAX_TEXT)]
    hint: Annotated[str | None, Field(max_length=MAX_TEXT)] = None
    retriable: bool = False

    def as_error(self) -> AuditError:
        return AuditError(**self.model_dump(exclude={"kind"}))


ChildEvent = StageEvent | ProgressEvent | LogEvent
ChildLine = Annotated[ChildEvent | Failure, Field(discriminator="kind")]
_child_line: TypeAdapter[ChildLine] = TypeAdapter(ChildLine)


def parse_line(line: bytes) -> ChildLine | None:
    """The line's meaning, or None if it is not a line a child of ours would write."""
    try:
        return _child_line.validate_json(line)
    except ValidationError:
        return None


def clip(text: str, length: int = MAX_TEXT) -> str:
    """At most ``length`` characters of ``text``, marked where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
