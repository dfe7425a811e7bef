"""What a JSON document may look like, written as small checks that put together become the check of the whole.

A check takes a value and gives back a cleaned copy: only what it knows is in there. Nothing of a document that has not
passed its check is ever used.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from eigengate.errors import ModelLoadError

Check = Callable[[Any], Any]

LARGEST_DOCUMENT: Final = 256 << 20
LARGEST_INTEGER: Final = 2**63 - 1
EXPORT_AGAIN: Final = "Save the program again with torch.export.save of a released PyTorch."


@final
class Malformed(Exception):  # noqa: N818 - it never leaves the checks
    """A value is not what it should be; containers put their key in front as it passes them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


def cleaned(check: Check, data: bytes, what: str) -> Any:
    """Parse a JSON document and check it.

    Raises:
        ModelLoadError: It is no JSON, or not what it should be; the message says where.
    """
    if len(data) > LARGEST_DOCUMENT:
        raise ModelLoadError(f"{what} has {len(data):,} bytes, more than {LARGEST_DOCUMENT:,}", hint=EXPORT_AGAIN)
    try:
        return check(json.loads(bytes(data)))
    except Malformed as error:
        where = ".".join(reversed(error.path))
        raise ModelLoadError(f"{what}: {where[-200:] or 'the document'} {error.reason}", hint=EXPORT_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{what} is not JSON that can be read: {error}"[:300], hint=EXPORT_AGAIN) from error


def shown(value: Any) -> str:
    """A value for a message: short, and without anything that does not print."""
    return ascii(value)[:60]


def text(pattern: str) -> Check:
    """A string that matches as a whole."""
    compiled = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Malformed(f"may not be {shown(value)}")
        return value

    return check


def whole(low: int = -LARGEST_INTEGER - 1, high: int = LARGEST_INTEGER) -> Check:
    """An integer between two others."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Malformed(f"may not be {shown(value)}")
        return value

    return check


def number(value: Any) -> float | str:
    """A number; infinity and NaN, which JSON has not, are written as words."""
    if type(value) is int and abs(value) <= LARGEST_INTEGER:
        return float(value)
    if type(value) is float:
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, str) and value in ("Infinity", "-Infinity", "NaN"):
        return value
    raise Malformed(f"may not be {shown(value)}")


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise Malformed(f"may not be {shown(value)}")
    return value


def one_of(allowed: Mapping[Any, str] | frozenset[Any], what: str) -> Check:
    """One of a few values."""

    def check(value: Any) -> Any:
        if isinstance(value, list | dict) or type(value) is bool or value not in allowed:
            raise Malformed(f"is {what} {shown(value)}, which is not supported")
        return value

    return check


def always(replacement: Any) -> Check:
    """Anything; what stands there is not looked at, and something harmless is put in its place."""
    return lambda _: replacement


def forbidden(what: str) -> Check:
    """Nothing."""

    def check(_: Any) -> Any:
        raise Malformed(f"is {what}, which is never read here")

    return check


def optional(check: Check) -> Check:
    """A value or null."""
    return lambda value: None if value is None else check(value)


def listing(check: Check, most: int = 100_000) -> Check:
    """A list of values of one kind."""

    def check_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Malformed(f"may not be {shown(value)}")
        if len(value) > most:
            raise Malformed(f"has {len(value):,} elements, more than {most:,}")
        return [_inside(str(index), check, item) for index, item in enumerate(value)]

    return check_all


def mapping(key: Check, check: Check) -> Check:
    """A dictionary with keys of one kind and values of one kind."""

    def check_all(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise Malformed(f"may not be {shown(value)}")
        return {key(name): _inside(name, check, item) for name, item in value.items()}

    return check_all


def record(fields: Mapping[str, Check], absent: Mapping[str, Any] | None = None) -> Check:
    """An object of known fields.

    Args:
        fields: The check of each field.
        absent: What a field that is missing stands for; other fields must be there.
    """
    defaults = absent or {}

    def check_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed(f"may not be {shown(value)}")
        strangers = [name for name in value if name not in fields and value[name] not in (None, "", [], {}, False)]
        if strangers:
            raise Malformed(f"has a field that is not known here: {shown(strangers[0])}")
        return {
            name: _inside(name, check, value[name]) if name in value else _default(name, defaults)
            for name, check in fields.items()
        }

    return check_all


def union(cases: Mapping[str, Check]) -> Check:
    """An object whose one key says what its value is."""

    def check_one(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise Malformed(f"may not be {shown(value)}")
        ((kind, content),) = value.items()
        if kind not in cases:
            raise Malformed(f"is of a kind that is not known here: {shown(kind)}")
        return {kind: _inside(kind, cases[kind], content)}

    return check_one


def later(check: Callable[[], Check]) -> Check:
    """A check that is defined further down: structures that contain themselves."""
    return lambda value: check()(value)


def _default(name: str, defaults: Mapping[str, Any]) -> Any:
    if name not in defaults:
        raise Malformed(f"has no field {name!r}")
    return defaults[name]


def _inside(key: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except Malformed as error:
        error.path.append(key[:80])
        raise
