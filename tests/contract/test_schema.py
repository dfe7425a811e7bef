import json

import jsonschema
import pytest

from eigengate.contract import METRICS, AuditConfig
from eigengate.contract.json_schema import FOLDER, schema_texts
from eigengate.gate import judge, load_policy, preset_text
from eigengate.gate.policy_text import parse_policy
from tests.support.layers import make_layer
from tests.support.policies import policy, threshold
from tests.support.reports import make_report

NAMES = ["audit.json", "config.json", "events.json", "policy.json", "report.json", "verdict.json"]


def validate(name: str, document: object) -> None:
    schema = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_the_written_schemas_are_those_of_the_code():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    stale = sorted(name for name, text in schema_texts().items() if written.get(name) != text)
    assert not stale, f"{', '.join(stale)} differ from the contract: run make generate"
    assert sorted(written) == NAMES


def test_reports_verdicts_and_configurations_fit_their_schemas():
    report = make_report(layers=(make_layer("conv", 12),))
    validate("report.json", json.loads(report.model_dump_json()))
    validate("verdict.json", json.loads(judge(report, policy(threshold())).model_dump_json()))
    validate("config.json", json.loads(AuditConfig().model_dump_json()))
    validate("events.json", {"kind": "progress", "stage": "sweep", "done": 1, "total": 10})


@pytest.mark.parametrize("name", ["recommended", "strict", "observe"])
def test_presets_fit_the_schema_as_they_are_written_and_as_they_are_resolved(name):
    validate("policy.json", parse_policy(preset_text(name).encode()).values)
    validate("policy.json", json.loads(load_policy(f"builtin:{name}").model_dump_json(by_alias=True)))


def test_the_schema_of_policies_knows_every_metric_and_lets_a_condition_refine():
    validate("policy.json", {"extends": "builtin:strict", "condition": [{"id": "label-noise", "level": "off"}]})
    with pytest.raises(jsonschema.ValidationError, match="is not one of"):
        validate("policy.json", {"condition": [threshold(metric="ntk.tracy")]})
    schema = json.loads((FOLDER / "policy.json").read_text(encoding="utf-8"))
    assert schema["$defs"]["Condition"]["properties"]["metric"]["enum"] == sorted(METRICS)


@pytest.mark.parametrize("broken", [{"schema_version": "2.0"}, {"surprise": 1}, {"created_at": None}])
def test_what_is_no_report_does_not_fit(broken):
    document = json.loads(make_report().model_dump_json()) | broken
    with pytest.raises(jsonschema.ValidationError, match=r"."):
        validate("report.json", document)
