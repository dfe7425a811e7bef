"""The contract as JSON Schemas, for editors and for clients in other languages; ``make generate`` writes the files."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from eigengate.contract.audit import Audit
from eigengate.contract.config import AuditConfig
from eigengate.contract.events import AuditEvent
from eigengate.contract.metrics import METRICS
from eigengate.contract.policy import Policy
from eigengate.contract.report import StabilityReport
from eigengate.contract.verdict import Verdict

FOLDER = Path(__file__).parent / "schema"
_SHAPES: dict[str, Any] = {
    "audit": Audit,
    "config": AuditConfig,
    "events": AuditEvent,
    "policy": Policy,
    "report": StabilityReport,
    "verdict": Verdict,
}


def schema_texts() -> dict[str, str]:
    """File name to content of every schema, as they should be."""
    return {f"{name}.json": json.dumps(_schema(name), indent=2, ensure_ascii=False) + "\n" for name in _SHAPES}


def _schema(name: str) -> dict[str, Any]:
    schema = TypeAdapter(_SHAPES[name]).json_schema(by_alias=True)
    if name == "policy":
        _as_written(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"Eigengate {name}"}


def _as_written(schema: dict[str, Any]) -> None:
    """A file may refine a preset's condition without naming its metric; editors complete the metrics there are."""
    condition = schema["$defs"]["Condition"]
    condition["required"] = ["id"]
    condition["properties"]["metric"]["enum"] = sorted(METRICS)
