"""The OpenAPI document: valid, complete, and true."""

import re

import jsonschema
import pytest

from service.examples import PROBLEMS
from service.problems import STATUSES
from tests.support.service import form

METHODS = ("get", "put", "post", "delete", "head")


@pytest.fixture(scope="module")
def document(shared_client):
    return shared_client.get("/openapi.json").json()


def operations(document):
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_the_document_is_valid(document):
    validator = pytest.importorskip("openapi_spec_validator", reason="moto[server] brings it")
    validator.validate(document)


def test_the_routes_are_these(document):
    assert {name for name, _ in operations(document)} == {
        "post /v1/audits", "get /v1/audits", "get /v1/audits/{audit_id}", "delete /v1/audits/{audit_id}",
        "post /v1/audits/{audit_id}/cancel", "get /v1/audits/{audit_id}/events", "get /v1/audits/{audit_id}/report",
        "post /v1/audits/{audit_id}/verdict", "put /v1/artifacts/{sha256}", "head /v1/artifacts/{sha256}",
        "get /v1/artifacts/{sha256}", "get /v1/info", "get /health/live", "get /health/ready", "get /",
    }  # fmt: skip


def test_operations_are_named_verb_and_noun_once_each(document):
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(
        re.fullmatch(r"(submit|list|get|cancel|delete|follow|judge|upload|check|download)[A-Z]\w+", n) for n in names
    )


def test_every_good_answer_has_an_example_that_fits_its_schema(document):
    checked = 0
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                continue
            for kind, content in response.get("content", {}).items():
                assert "example" in content, f"{name} {status} {kind}"
                if kind == "application/json":
                    jsonschema.validate(content["example"], {**content["schema"], "components": document["components"]})
                    checked += 1
    assert checked >= 12


def test_every_problem_is_documented_with_an_example(document):
    for name, operation in operations(document):
        bad = {status: response for status, response in operation["responses"].items() if status >= "400"}
        if name != "get /health/live":
            assert "500" in bad or name == "get /v1/info", name
        for status, response in bad.items():
            if name.startswith("head") and status == "404":
                continue
            (kind,) = response["content"]
            assert kind == "application/problem+json", f"{name} {status}"
            assert response["content"][kind]["example"]["status"] == int(status)


def test_examples_of_problems_have_the_status_of_their_code():
    assert {status: STATUSES[code] for status, (code, _, _) in PROBLEMS.items()} == {s: s for s in PROBLEMS}


def test_nothing_of_the_frameworks_own_errors_is_left(document):
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_bodies_read_as_streams_are_documented(document):
    bodies = {operation["operationId"]: operation.get("requestBody") for _, operation in operations(document)}
    assert set(bodies["submitAudit"]["content"]) == {"multipart/form-data", "application/json"}
    assert bodies["judgeReport"]
    assert bodies["uploadArtifact"]
    assert {"AuditRequest", "Policy", "AuditConfig"} <= set(document["components"]["schemas"])


def test_answers_fit_the_schemas_they_promise(document, client):
    created = client.post("/v1/audits", **form())
    path = f"/v1/audits/{created.json()['id']}"
    answers = {
        ("/v1/audits", "post", "202"): created,
        ("/v1/audits/{audit_id}", "get", "200"): client.get(path),
        ("/v1/audits", "get", "200"): client.get("/v1/audits"),
        ("/v1/audits/{audit_id}/cancel", "post", "200"): client.post(path + "/cancel"),
        ("/v1/info", "get", "200"): client.get("/v1/info"),
    }
    for (route, method, status), answer in answers.items():
        assert str(answer.status_code) == status
        schema = document["paths"][route][method]["responses"][status]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
