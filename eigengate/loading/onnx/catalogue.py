"""What can be run and differentiated, operator by operator: for ``eigengate ops`` and the page of operators."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

import onnx

from eigengate.loading.onnx.functions import standard_function
from eigengate.loading.onnx.fusion import FUSED_DOMAIN
from eigengate.loading.onnx.graph import Node
from eigengate.loading.onnx.refusals import OLDEST_OPSET
from eigengate.loading.onnx.registry import (
    CHECKED_OPSET,
    Operator,
    Smoothness,
    find_operator,
    registered_operators,
)

_END_OF_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z`])")


@final
@dataclass(frozen=True)
class CatalogueEntry:
    """One operator of one domain.

    Args:
        domain: ``ai.onnx`` for the standard's.
        name: Of the operator.
        versions: The versions of it that a model of a supported opset may mean, all of them supported.
        summary: What it computes, in a sentence.
        smoothness: Which derivatives the newest version has.
        batches: Whether ``vmap`` batches it over its floating operands.
    """

    domain: str
    name: str
    versions: tuple[int, ...]
    summary: str
    smoothness: Smoothness
    batches: bool

    @property
    def qualified(self) -> str:
        return f"{self.domain}::{self.name}"


def supported_operators() -> tuple[CatalogueEntry, ...]:
    """Every operator that has a function here, or that the standard defines by others; sorted by domain and name."""
    entries = [*_with_a_function(), *_defined_by_the_standard()]
    return tuple(sorted(entries, key=lambda entry: (entry.domain, entry.name)))


def _with_a_function() -> Iterator[CatalogueEntry]:
    for (domain, name), found in groupby(registered_operators(), key=lambda op: (op.domain, op.name)):
        newest, *older = found
        if domain == FUSED_DOMAIN:
            continue
        written = tuple(sorted(op.since for op in (newest, *older)))
        yield CatalogueEntry(
            domain or "ai.onnx",
            name,
            _standard_versions(name) if domain == "" and _schemas(name) else written,
            _summary(newest),
            newest.smoothness,
            all(op.batches for op in (newest, *older)),
        )


def _defined_by_the_standard() -> Iterator[CatalogueEntry]:
    for name in sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}):
        version = max(schema.since_version for schema in _schemas(name))
        if _finds(name, version) is None and standard_function("", name, version) is not None:
            summary = "Runs by the body that the standard gives it in terms of other operators."
            yield CatalogueEntry("ai.onnx", name, _standard_versions(name), summary, Smoothness.TWICE, batches=True)


def _standard_versions(name: str) -> tuple[int, ...]:
    history = sorted((schema.since_version, schema.deprecated) for schema in _schemas(name))
    ends = [*(since for since, _ in history[1:]), CHECKED_OPSET + 1]
    return tuple(since for (since, old), end in zip(history, ends, strict=True) if end > OLDEST_OPSET and not old)


def _schemas(name: str) -> list[Any]:
    return [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.name == name]


def _finds(name: str, version: int) -> Operator | None:
    return find_operator(Node("", name, version, "", (), ()))


def _summary(operator: Operator) -> str:
    """The first sentence of its docstring."""
    paragraph = " ".join((inspect.getdoc(operator.function) or "").split("\n\n")[0].split())
    return _END_OF_SENTENCE.split(paragraph)[0]
