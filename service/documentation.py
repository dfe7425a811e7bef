"""How routes describe their answers in the OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from eigengate.contract import AuditRequest, Policy, Problem
from service import examples
from service.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


def answer(
    status: int,
    description: str,
    shape: type[BaseModel],
    example: Any,
    *,
    headers: dict[str, Any] | None = None,
    also: dict[str, Any] | None = None,
) -> Responses:
    """One JSON answer with its example; ``also`` adds representations of other types."""
    content = {"application/json": {"example": example}, **(also or {})}
    return {status: {"description": description, "model": shape, "content": content, "headers": headers or {}}}


def header(name: str, description: str) -> dict[str, Any]:
    return {name: {"description": description, "schema": {"type": "string"}}}


def problems(*statuses: int) -> Responses:
    """The problems a route answers with, besides a fault of ours."""
    return {status: _problem(status) for status in (*statuses, 500)}


def _problem(status: int) -> dict[str, Any]:
    code, title, detail = examples.PROBLEMS[status]
    example = {
        "type": f"https://eigengate.dev/problems/{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": "req_3f2a9c0d5e6b7a8190",
    }
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": title, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document with the shapes that no route declares: those of bodies read as streams."""
    generated = app.openapi
    shapes = {shape.__name__: shape for shape in (Problem, AuditRequest, Policy)}

    def openapi() -> dict[str, Any]:
        document = generated()
        _, definitions = models_json_schema(
            [(shape, "validation") for shape in shapes.values()], ref_template="#/components/schemas/{model}"
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in definitions.get("$defs", {}).items():
            components.setdefault(name, schema)
        _forget_framework_errors(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _forget_framework_errors(document: dict[str, Any]) -> None:
    """FastAPI documents its own error for every parameter; ours are problems, and documented where they can occur."""
    for methods in document["paths"].values():
        for operation in methods.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if "HTTPValidationError" in str(content):
                del operation["responses"]["422"]
    for shape in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(shape, None)


_FORM = {
    "type": "object",
    "required": ["model", "probe"],
    "additionalProperties": False,
    "properties": {
        "model": {
            "type": "string",
            "format": "binary",
            "description": "TorchScript, torch.export (.pt2) or ONNX, told by content; ONNX alone, or with its data "
            "files as a zip, tar or tar.gz archive.",
        },
        "probe": {"type": "string", "format": "binary", "description": ".npz, .npy or .safetensors, told by content."},
        "config": {"type": "string", "description": "AuditConfig as JSON."},
        "policy": {"type": "string", "description": "Policy as TOML or JSON, or a preset such as builtin:strict."},
        "labels": {"type": "string", "description": "JSON object of strings."},
    },
}
AUDIT_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _FORM,
                "encoding": {
                    "config": {"contentType": "application/json"},
                    "labels": {"contentType": "application/json"},
                },
            },
            "application/json": {
                "schema": {"$ref": "#/components/schemas/AuditRequest"},
                "example": examples.REQUEST,
            },
        },
    }
}
POLICY_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "The policy; without one the audit's own is applied again.",
        "content": {
            "application/toml": {"schema": {"type": "string"}, "example": examples.POLICY_TOML},
            "application/json": {"schema": {"$ref": "#/components/schemas/Policy"}},
            "text/plain": {"schema": {"type": "string"}, "example": "builtin:strict"},
        },
    }
}
FILE_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
