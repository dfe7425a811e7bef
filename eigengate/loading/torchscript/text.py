"""TorchScript's operators on strings, which models use to choose modes and to word their complaints."""

from collections.abc import Callable, Mapping
from typing import Any, Final


def _upto(text: str, end: int) -> int:
    """TorchScript counts a negative end from behind the last character, so that -1 leaves nothing out."""
    return end if end >= 0 else max(0, len(text) + end + 1)


def _within(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of strings that looks for a part between two places."""

    def look(text: str, part: str, start: int = 0, end: int = -1) -> Any:
        return method(text, part, start, _upto(text, end))

    return look


def _split(text: str, separator: str | None = None, limit: int = -1) -> list[str]:
    return text.split(separator, limit)


_SAME: Final = (
    "capitalize",
    "center",
    "expandtabs",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "replace",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "splitlines",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
)
"""Methods of Python's own strings with the same arguments."""


def _of_text_or_list(of_text: Callable[..., Any], of_list: Callable[..., Any]) -> Callable[..., Any]:
    """One name of TorchScript's for a method that strings and lists have."""
    within = _within(of_text)
    return lambda items, *rest: within(items, *rest) if isinstance(items, str) else of_list(items, *rest)


TEXT: Final[Mapping[str, Callable[..., Any]]] = {
    **{f"aten::{name}": getattr(str, name) for name in _SAME},
    **{f"aten::{name}": _within(getattr(str, name)) for name in ("find", "rfind", "rindex", "startswith", "endswith")},
    "aten::index": _of_text_or_list(str.index, list.index),
    "aten::count": _of_text_or_list(str.count, list.count),
    "aten::split": _split,
    "aten::join": lambda separator, items: separator.join(items),
    "aten::ord": ord,
    "aten::chr": chr,
    "aten::bin": bin,
    "aten::hex": hex,
    "aten::oct": oct,
    "prim::StringIndex": lambda text, index: text[index],
}
"""Pure functions of strings by operator."""
