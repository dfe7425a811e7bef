"""What is wrong with a policy, each mistake with its place and the likely correction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, final

from pydantic import BaseModel, ValidationError

from eigengate.contract import BaselineRule, BaselineSource, Condition, Policy, Waiver
from eigengate.contract.metrics import METRICS
from eigengate.gate.positions import Path


@final
@dataclass(frozen=True)
class Mistake:
    """One mistake at ``path`` of the policy as it was written."""

    path: Path
    message: str

    @property
    def pointer(self) -> str:
        """The path as people write it: ``condition[2].threshold``."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return text.removeprefix(".")


def suggestion(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """``; did you mean …?`` if a known word is near."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def own_mistakes(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Unknown metrics and repeated ids, which the shapes alone cannot tell."""
    seen: set[str] = set()
    conditions = values.get("condition")
    for index, condition in enumerate(conditions if isinstance(conditions, list | tuple) else ()):
        if not isinstance(condition, dict):
            continue
        metric, name = condition.get("metric"), condition.get("id")
        if isinstance(metric, str) and metric not in METRICS:
            yield Mistake(("condition", index, "metric"), f"unknown metric {metric!r}{suggestion(metric, METRICS)}")
        if isinstance(name, str):
            if name in seen:
                yield Mistake(("condition", index, "id"), f"a condition {name!r} was given before")
            seen.add(name)


def shape_mistakes(error: ValidationError, origins: Sequence[int | None]) -> Iterator[Mistake]:
    """pydantic's findings in words; ``origins`` maps resolved conditions to those that were written."""
    for found in error.errors(include_url=False):
        path = _as_written(tuple(found["loc"]), origins)
        yield Mistake(path, _in_words(found["type"], found["msg"], found.get("input"), path))


def _as_written(path: Path, origins: Sequence[int | None]) -> Path:
    if len(path) >= 2 and path[0] == "condition" and isinstance(path[1], int) and path[1] < len(origins):
        origin = origins[path[1]]
        return ("extends",) if origin is None else ("condition", origin, *path[2:])
    return path


def _in_words(kind: str, message: str, value: object, path: Path) -> str:
    if kind == "extra_forbidden":
        return f"unknown key {path[-1]!r}{suggestion(str(path[-1]), _keys(path))}"
    if kind == "missing":
        return f"the key {path[-1]!r} is missing"
    if kind == "tuple_type":
        return f"a list of tables is needed; write [[{path[-1]}]], with two brackets"
    if kind.startswith("date_"):
        return f"a day such as 2027-01-31 is needed, got {value!r}"
    message = message.removeprefix("Value error, ").replace("Input should be", "should be")
    return message if isinstance(value, dict) else f"{message}, got {value!r}"


def _keys(path: Path) -> list[str]:
    shapes: dict[str, type[BaseModel]] = {"condition": Condition, "waiver": Waiver, "baseline": BaselineSource}
    shape = shapes[str(path[0])] if len(path) > 1 else Policy
    if shape is Condition and len(path) > 3:
        shape = BaselineRule
    return [field.alias or name for name, field in shape.model_fields.items()]
