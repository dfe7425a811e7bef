"""The text of a policy as data: TOML, JSON or YAML, told apart by content."""

import json
import re
import tomllib
from typing import Any, NamedTuple

from eigengate.errors import PolicyError
from eigengate.gate.positions import Positions, toml_positions, yaml_positions

MAX_POLICY_BYTES = 64 * 1024
# Far above what a policy needs. The time that tomllib takes for one key grows with the square of its parts, that of
# PyYAML with the square of the depth of brackets.
MAX_DOTS_PER_LINE = 100
MAX_DEPTH = 32
_BRACKET = re.compile(r"[\[\]{}]")
_AT = re.compile(r"\(at line (\d+), column (\d+)\)")


class PolicyDocument(NamedTuple):
    """A parsed policy, and where its keys stand if it came from text."""

    values: dict[str, Any]
    text: str = ""
    syntax: str = "data"

    def positions(self) -> Positions:
        """Line and column of every key that could be found; empty for data that never was text."""
        if self.syntax == "toml":
            return toml_positions(self.text)
        return yaml_positions(self.text) if self.text else {}


def parse_policy(content: bytes) -> PolicyDocument:
    """Parse ``content``; JSON if it starts with a brace, else TOML, else YAML where PyYAML is installed.

    Raises:
        PolicyError: It is none of them, or not a table, or larger, deeper or more dotted than any policy;
            ``context["line"]`` says where, if known.
    """
    if len(content) > MAX_POLICY_BYTES:
        raise PolicyError(f"the policy has {len(content)} bytes, more than {MAX_POLICY_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"the policy is not UTF-8 text: {error}", hint="write it as TOML") from None
    _require_shallow(text)
    try:
        return _json(text) if text.lstrip().startswith("{") else _toml_or_yaml(text)
    except RecursionError:
        raise PolicyError("the policy is nested too deeply") from None


def _require_shallow(text: str) -> None:
    """Brackets are counted in strings and comments too: what closes them there as well is no deeper for it."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            raise PolicyError(f"the policy is nested too deeply: more than {MAX_DEPTH} brackets are open at once")


def _json(text: str) -> PolicyDocument:
    try:
        return PolicyDocument(json.loads(text, object_pairs_hook=_unique, parse_constant=_refused), text, "json")
    except json.JSONDecodeError as error:
        raise _syntax_error("JSON", error.msg, error.lineno, error.colno) from None
    except ValueError as error:
        raise PolicyError(f"the policy is not usable JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"a key is given twice: {sorted({n for n in names if names.count(n) > 1})}")
    return values


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _toml_or_yaml(text: str) -> PolicyDocument:
    for number, row in enumerate(text.splitlines(), start=1):
        if row.count(".") > MAX_DOTS_PER_LINE:
            raise _syntax_error("TOML", f"a line with more than {MAX_DOTS_PER_LINE} dots", number, 1)
    try:
        return PolicyDocument(tomllib.loads(text), text, "toml")
    except tomllib.TOMLDecodeError as error:
        if (values := _yaml(text)) is not None:
            return PolicyDocument(values, text, "yaml")
        place = _AT.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        raise _syntax_error("TOML", _AT.sub("", str(error)).strip(), line, column) from None
    except ValueError as error:
        raise PolicyError(f"the policy is not usable TOML: {error}") from None


def _yaml(text: str) -> dict[str, Any] | None:
    """The mapping that ``text`` is in YAML; null if it is no mapping or PyYAML is not installed."""
    try:
        from eigengate.gate.yaml_reader import read_mapping
    except ImportError:
        return None
    return read_mapping(text)


def _syntax_error(syntax: str, message: str, line: int | None, column: int | None) -> PolicyError:
    where = f"line {line}, column {column}: " if line else ""
    mistake = {"line": line, "column": column, "pointer": "", "message": message}
    return PolicyError(
        f"{where}not valid {syntax}: {message}",
        hint="eigengate policy init writes a policy to start from",
        context={"line": line, "column": column, "mistakes": [mistake]},
    )
