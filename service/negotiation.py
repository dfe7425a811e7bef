"""The ``Accept`` header (RFC 9110): which of the representations we have the client likes best."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar, final

F = TypeVar("F", bound=str)


@final
class _Range(NamedTuple):
    kind: str
    quality: float

    def matches(self, media_type: str) -> int:
        """How specifically the range names the type: 0 for not at all."""
        if self.kind == media_type:
            return 3
        if self.kind.endswith("/*") and media_type.startswith(self.kind[:-1]):
            return 2
        return 1 if self.kind == "*/*" else 0


def preferred(accept: str | None, offers: Mapping[F, str]) -> F | None:
    """The offer (by name; its media type is the value) the client prefers, the first among equals; null for none."""
    ranges = [_parse(part) for part in (accept or "*/*").split(",") if part.strip()]
    best, best_quality = None, 0.0
    for name, media_type in offers.items():
        naming = [(found, media.quality) for media in ranges if (found := media.matches(media_type))]
        quality = max(naming)[1] if naming else 0.0
        if quality > best_quality:
            best, best_quality = name, quality
    return best


def _parse(part: str) -> _Range:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return _Range(kind, _quality(value))
    return _Range(kind, 1.0)


def _quality(value: str) -> float:
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
