"""Reading a policy: parse, resolve ``extends``, check every name, and say where each mistake is."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from eigengate.contract import Policy
from eigengate.errors import PolicyError
from eigengate.gate.mistakes import Mistake, own_mistakes, shape_mistakes, suggestion
from eigengate.gate.policy_text import PolicyDocument, parse_policy
from eigengate.gate.positions import nearest
from eigengate.gate.presets import PREFIX, PRESETS, preset_text

MAX_MISTAKES = 100  # looking for the word that was meant takes milliseconds each

PolicySource = str | FilePath | bytes | dict[str, Any]


def load_policy(source: PolicySource) -> Policy:
    """The policy in ``source``, with ``extends`` resolved and every metric known.

    Args:
        source: ``builtin:NAME``, or the path of a file; its content as bytes; or a table that was parsed already.

    Raises:
        PolicyError: The first mistake in words; ``context["mistakes"]`` lists the first hundred, each with ``line``,
            ``column``, ``pointer`` and ``message``.
    """
    document, name = _document(source)
    try:
        values, origins = _resolved(document.values)
    except PolicyError as error:
        raise _refusal([Mistake(("extends",), error.detail)], document, name) from None
    mistakes = list(islice(own_mistakes(document.values), MAX_MISTAKES))
    try:
        policy = Policy.model_validate(values)
    except ValidationError as error:
        # A mistake found twice is told once, in our words; an error without a path is that of repeated ids.
        known = {(), *(mistake.path for mistake in mistakes)} if mistakes else set()
        more = (found for found in shape_mistakes(error, origins) if found.path not in known)
        mistakes += islice(more, MAX_MISTAKES - len(mistakes))
        raise _refusal(mistakes, document, name) from None
    if mistakes:
        raise _refusal(mistakes, document, name)
    return policy


def condition_lines(source: bytes) -> dict[str, int]:
    """The line on which each condition of a policy's text begins, by condition id, as far as it can be told."""
    document = parse_policy(source)
    positions = document.positions()
    conditions = document.values.get("condition")
    lines = {}
    for index, condition in enumerate(conditions if isinstance(conditions, list | tuple) else ()):
        place = nearest(positions, ("condition", index))
        if place and isinstance(condition, dict) and isinstance(condition.get("id"), str):
            lines[condition["id"]] = place[0]
    return lines


def _document(source: PolicySource) -> tuple[PolicyDocument, str]:
    if isinstance(source, dict):
        return PolicyDocument(source), "policy"
    if isinstance(source, bytes):
        return parse_policy(source), "policy"
    name = str(source)
    if isinstance(source, str) and source.startswith(PREFIX):
        return parse_policy(_preset(source).encode()), name
    try:
        content = FilePath(source).read_bytes()
    except OSError as error:
        raise PolicyError(
            f"the policy file {name!r} cannot be read: {error.strerror or error}",
            hint="give a path, or one of " + ", ".join(PREFIX + preset for preset in PRESETS),
        ) from None
    try:
        return parse_policy(content), name
    except PolicyError as error:
        raise PolicyError(f"{name}: {error.detail}", hint=error.hint, context=error.context) from None


def _preset(reference: str) -> str:
    name = reference.removeprefix(PREFIX)
    if not reference.startswith(PREFIX) or name not in PRESETS:
        known = [PREFIX + preset for preset in PRESETS]
        raise PolicyError(
            f"unknown preset {reference!r}{suggestion(reference, known)}", hint=f"presets: {', '.join(known)}"
        )
    return preset_text(name)


def _resolved(values: dict[str, Any]) -> tuple[dict[str, Any], list[int | None]]:
    """The policy standing alone, and for each of its conditions the index of the one that was written."""
    own = values.get("condition", [])
    if values.get("extends") is None:
        return values, list(range(len(own))) if isinstance(own, list | tuple) else []
    preset, _ = _resolved(parse_policy(_preset(str(values["extends"])).encode()).values)
    merged = {**preset, **values, "extends": None}
    if isinstance(values.get("baseline"), dict):
        merged["baseline"] = {**preset.get("baseline", {}), **values["baseline"]}
    if not isinstance(own, list | tuple):
        return merged, []
    merged["condition"], origins = _merged_conditions(preset.get("condition", []), own)
    return merged, origins


def _merged_conditions(
    preset: Sequence[dict[str, Any]], own: Sequence[Any]
) -> tuple[list[dict[str, Any]], list[int | None]]:
    conditions = list(preset)
    origins: list[int | None] = [None] * len(preset)
    places = {condition["id"]: place for place, condition in enumerate(preset)}
    for index, condition in enumerate(own):
        place = places.pop(condition.get("id"), None) if isinstance(condition, dict) else None
        if place is None:
            conditions.append(condition)
            origins.append(index)
        else:
            conditions[place] = condition if "metric" in condition else {**conditions[place], **condition}
            origins[place] = index
    return conditions, origins


def _refusal(mistakes: list[Mistake], document: PolicyDocument, name: str) -> PolicyError:
    positions = document.positions()
    listed = []
    for mistake in mistakes:
        line, column = nearest(positions, mistake.path) or (None, None)
        listed.append({"line": line, "column": column, "pointer": mistake.pointer, "message": mistake.message})
    listed.sort(key=lambda found: (found["line"] or 0, found["column"] or 0))
    first, more = listed[0], len(listed) - 1
    place = f"{name}:{first['line']}:{first['column']}" if first["line"] else name
    pointer = f"{first['pointer']}: " if first["pointer"] else ""
    others = f" (and {more} more {'mistake' if more == 1 else 'mistakes'})" if more else ""
    return PolicyError(
        f"{place}: {pointer}{first['message']}{others}",
        hint="eigengate policy lint shows every mistake with its line",
        context={"line": first["line"], "column": first["column"], "mistakes": listed},
    )
