"""Reading reports and judging them again."""

import json
import xml.etree.ElementTree as ET

import pytest

from eigengate.contract import AuditError, StabilityReport, Verdict
from eigengate.gate import judge, load_policy
from service.audits.repository import AuditRepository
from service.reports.formats import MEDIA_TYPES
from tests.support.reports import make_report, with_measurement

LOOSE = '[[condition]]\nid = "sharpness"\nmetric = "hessian.lambda_max"\nop = "<="\nthreshold = 1e9\n'
TIGHT = LOOSE.replace("1e9", "1e-9")
NO_WORSE = '[[condition]]\nid = "a"\nmetric = "hessian.lambda_max"\nbaseline = {max_relative_increase = 0.05}\n'
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture
def report():
    return make_report()


@pytest.fixture
def audited(hand, submit, report):
    audit_id = submit(policy=LOOSE)
    hand.succeed(audit_id, report)
    return audit_id


def test_the_json_report_is_what_was_recorded_and_tagged_by_its_digest(client, audited, report):
    answer = client.get(f"/v1/audits/{audited}/report")
    assert answer.headers["content-type"] == "application/json"
    assert StabilityReport.model_validate_json(answer.content) == report
    tag = answer.headers["etag"]
    again = client.get(f"/v1/audits/{audited}/report", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"/v1/audits/{audited}/report?format=html", headers={"If-None-Match": tag})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"), ("*/*", "json"), ("application/json", "json"), ("application/*", "json"), (BROWSER, "html"),
        ("text/*", "html"), ("text/markdown", "markdown"), ("application/xml", "junit"),
        ("application/sarif+json", "sarif"),
        ("text/html;q=0.1, text/markdown;q=0.9", "markdown"), ("application/json;q=0, */*", "html"),
        ("TEXT/HTML; charset=utf-8", "html"), ("image/png, text/html;q=0.2", "html"),
    ],
)  # fmt: skip
def test_the_client_chooses_the_form(client, audited, accept, form):
    headers = {} if accept is None else {"Accept": accept}
    answer = client.get(f"/v1/audits/{audited}/report", headers=headers)
    assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[form]
    assert answer.headers["vary"] == "Accept"


def test_every_form_can_be_named_in_the_address(client, audited):
    def get(form):
        answer = client.get(f"/v1/audits/{audited}/report?format={form}", headers={"Accept": "application/json"})
        assert answer.status_code == 200
        return answer.text

    assert StabilityReport.model_validate_json(get("json"))
    assert get("html").lstrip().lower().startswith("<!doctype html>")
    assert "Eigengate" in get("markdown")
    assert ET.fromstring(get("junit")).tag == "testsuites"
    assert json.loads(get("sarif"))["version"] == "2.1.0"


def test_the_page_may_run_and_load_nothing(client, audited):
    headers = client.get(f"/v1/audits/{audited}/report?format=html").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_report_does_not_come_as_a_picture(client, audited):
    answer = client.get(f"/v1/audits/{audited}/report", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_an_unknown_form_is_refused(client, audited):
    answer = client.get(f"/v1/audits/{audited}/report?format=pdf")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_there_is_no_report_before_the_end(client, hand, submit):
    audit_id = submit()
    for _ in range(2):
        answer = client.get(f"/v1/audits/{audit_id}/report")
        assert (answer.status_code, answer.json()["code"]) == (409, "audit_not_finished")
        assert int(answer.headers["retry-after"]) > 0
        if client.get(f"/v1/audits/{audit_id}").json()["status"] == "queued":
            hand.claim(audit_id)


def test_a_failed_audit_has_its_error_for_a_report(client, hand, submit):
    audit_id = submit()
    hand.fail(audit_id, AuditError(code="model_crashed", title="The model crashed", detail="SIGSEGV", hint="Look."))
    for answer in (client.get(f"/v1/audits/{audit_id}/report"), client.post(f"/v1/audits/{audit_id}/verdict")):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "model_crashed")
        assert (problem["title"], problem["detail"], problem["hint"]) == ("The model crashed", "SIGSEGV", "Look.")
        assert "retry-after" not in answer.headers


def test_a_cancelled_audit_has_no_report(client, submit):
    audit_id = submit()
    client.post(f"/v1/audits/{audit_id}/cancel")
    answer = client.get(f"/v1/audits/{audit_id}/report")
    assert (answer.status_code, answer.json()["code"]) == (409, "cancelled")


def test_a_report_that_was_not_judged_has_no_forms_of_a_verdict(client, app, hand, submit, report):
    audit_id = submit()
    claim = hand.claim(audit_id)
    with app.state.context.database.session() as session:
        AuditRepository(session).finish_succeeded(claim, report.model_dump_json(), None)
    assert client.get(f"/v1/audits/{audit_id}/report?format=html").status_code == 200
    answer = client.get(f"/v1/audits/{audit_id}/report?format=junit")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_verdict")


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        (LOOSE, "pass"), (TIGHT, "fail"),
        (json.dumps({"condition": [{"id": "a", "metric": "ntk.trace", "op": "<=", "threshold": 1e-9}]}), "fail"),
    ],
)  # fmt: skip
def test_a_stored_report_is_judged_under_another_policy(client, audited, report, policy, outcome):
    answer = client.post(f"/v1/audits/{audited}/verdict", content=policy)
    assert answer.status_code == 200
    assert answer.json()["outcome"] == outcome
    assert Verdict.model_validate_json(answer.content) == judge(report, load_policy(policy.encode()))
    assert client.get(f"/v1/audits/{audited}").json()["verdict"] == "pass"  # the record stays


@pytest.mark.parametrize("policy", ["builtin:strict", "  builtin:observe\n"])
def test_a_preset_is_a_policy(client, audited, report, policy):
    verdict = client.post(f"/v1/audits/{audited}/verdict", content=policy).json()
    assert verdict["outcome"] == judge(report, load_policy(policy.strip())).outcome


def test_without_a_policy_the_audits_own_counts(client, audited):
    verdict = client.post(f"/v1/audits/{audited}/verdict").json()
    assert [condition["id"] for condition in verdict["conditions"]] == ["sharpness"]


def test_without_any_policy_the_recommended_one_counts(client, hand, submit, report):
    audit_id = submit()
    hand.succeed(audit_id, report)
    verdict = client.post(f"/v1/audits/{audit_id}/verdict").json()
    recommended = judge(report, load_policy("builtin:recommended"))
    assert verdict["policy_sha256"] == recommended.policy_sha256


def test_a_report_is_compared_with_that_of_another_audit(client, hand, submit, audited, report):
    sharper = submit()
    sharpness = report.value("hessian.lambda_max")
    hand.succeed(sharper, with_measurement(report, "hessian.lambda_max", sharpness * 3))
    up = client.post(f"/v1/audits/{sharper}/verdict?baseline={audited}", content=NO_WORSE).json()
    down = client.post(f"/v1/audits/{audited}/verdict?baseline={sharper}", content=NO_WORSE).json()
    assert (up["outcome"], down["outcome"]) == ("fail", "pass")
    assert up["baseline_sha256"] == down["report_sha256"]


def test_the_baseline_must_have_a_report(client, submit, audited):
    unknown = client.post(f"/v1/audits/{audited}/verdict?baseline=aud_x", content=NO_WORSE)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    unfinished = client.post(f"/v1/audits/{audited}/verdict?baseline={submit()}", content=NO_WORSE)
    assert (unfinished.status_code, unfinished.json()["code"]) == (409, "audit_not_finished")


@pytest.mark.parametrize(
    "policy", ["[", "{", "mood = 1", "builtin:x", "/etc/passwd", "\xff", "[" * 60_000, "a" + ".a" * 30_000 + " = 1"]
)
def test_a_senseless_policy_is_refused(client, audited, policy):
    answer = client.post(f"/v1/audits/{audited}/verdict", content=policy.encode("latin-1"))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policy")


def test_a_huge_policy_is_refused(client, audited):
    answer = client.post(f"/v1/audits/{audited}/verdict", content=b"#" * (2**16 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
