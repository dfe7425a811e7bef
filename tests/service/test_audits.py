"""Looking at audits, listing, cancelling and deleting them over HTTP."""

import threading
import time

import pytest

from eigengate.contract import AuditError
from tests.support import uploads
from tests.support.service import form, leftovers

UNKNOWN = "aud_" + "0" * 32
STRANGE_IDS = [UNKNOWN, "aud_x", "x", "%00", "a" * 5000, "aud_" + "0" * 32 + "%0A", "..%2f..", "ä"]


def test_an_unchanged_audit_is_not_sent_again(client, hand, submit):
    path = f"/v1/audits/{submit()}"
    first = client.get(path)
    tag = first.headers["etag"]
    again = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": "*"}).status_code == 304
    hand.claim(path.rpartition("/")[2])
    changed = client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert changed.json()["status"] == "running"


def test_an_audit_that_is_over_asks_for_no_further_polling(client, hand, submit):
    audit_id = submit()
    assert "retry-after" in client.get(f"/v1/audits/{audit_id}").headers
    hand.succeed(audit_id)
    answer = client.get(f"/v1/audits/{audit_id}")
    assert "retry-after" not in answer.headers
    assert answer.json()["verdict"] in ("pass", "warn", "fail", "indeterminate")


def test_a_failed_audit_says_why(client, hand, submit):
    audit_id = submit()
    error = AuditError(code="model_crashed", title="The model crashed", detail="SIGSEGV", hint="Look at it.")
    hand.fail(audit_id, error)
    answer = client.get(f"/v1/audits/{audit_id}")
    assert answer.status_code == 200
    assert answer.json()["error"] == error.model_dump()


@pytest.mark.parametrize("audit_id", STRANGE_IDS, ids=range(len(STRANGE_IDS)))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/cancel"),
        ("GET", "/events"),
        ("GET", "/report"),
        ("POST", "/verdict"),
    ],
)
def test_an_unknown_audit_is_not_found_whatever_is_asked_of_it(shared_client, method, path, audit_id):
    answer = shared_client.request(method, f"/v1/audits/{audit_id}{path}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_get_may_wait_for_the_end(client, hand, submit):
    audit_id = submit()
    worker = threading.Timer(0.1, hand.succeed, [audit_id])
    worker.start()
    answer = client.get(f"/v1/audits/{audit_id}", headers={"Prefer": "wait=30"})
    worker.join()
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=30"


def test_a_get_with_a_tag_waits_for_a_change_only(client, hand, submit):
    audit_id = submit()
    tag = client.get(f"/v1/audits/{audit_id}").headers["etag"]
    worker = threading.Timer(0.1, hand.claim, [audit_id])
    worker.start()
    answer = client.get(f"/v1/audits/{audit_id}", headers={"Prefer": "wait=30", "If-None-Match": tag})
    worker.join()
    assert answer.json()["status"] == "running"


def test_a_wait_that_ends_without_a_change_answers_as_ever(client, submit):
    audit_id = submit()
    tag = client.get(f"/v1/audits/{audit_id}").headers["etag"]
    headers = {"Prefer": "wait=1"}
    began = time.monotonic()
    assert client.get(f"/v1/audits/{audit_id}", headers=headers).json()["status"] == "queued"
    assert time.monotonic() - began >= 1
    unchanged = client.get(f"/v1/audits/{audit_id}", headers={**headers, "If-None-Match": tag})
    assert unchanged.status_code == 304


def test_pages_of_the_list_are_linked_by_cursors(client, submit):
    queued = [submit() for _ in range(3)]
    first = client.get("/v1/audits?limit=2").json()
    second = client.get(f"/v1/audits?limit=2&cursor={first['next']}").json()
    assert (len(first["data"]), len(second["data"]), second["next"]) == (2, 1, None)
    assert sorted(audit["id"] for audit in first["data"] + second["data"]) == sorted(queued)


def test_the_list_can_be_filtered(client, hand, submit):
    done, other = submit(labels='{"branch": "main", "url": "a:b"}'), submit(labels='{"branch": "dev"}')
    verdict = hand.succeed(done).outcome

    def listed(query):
        return [audit["id"] for audit in client.get(f"/v1/audits?{query}").json()["data"]]

    assert listed("status=succeeded") == [done]
    assert listed("status=queued") == [other]
    assert listed(f"verdict={verdict}") == [done]
    assert listed("label=branch:dev") == [other]
    assert listed("label=branch:main&label=url:a:b") == [done]
    assert listed("label=branch:main&label=url:c") == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("status=done", "status"),
        ("verdict=maybe", "verdict"), ("cursor=", "cursor"), ("cursor=zzz", "cursor"), ("cursor=%00", "cursor"),
        ("cursor=MTph", "cursor"), ("cursor=" + "A" * 4000, "cursor"), ("label=branch", "label"),
        ("label=a:%00", "label"),
    ],
)  # fmt: skip
def test_a_senseless_query_is_refused_with_its_name(shared_client, query, name):
    answer = shared_client.get(f"/v1/audits?{query}")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/query/{name}"


def test_cancelling_twice_is_cancelling_once(client, submit):
    audit_id = submit()
    first, second = (client.post(f"/v1/audits/{audit_id}/cancel") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert first.json()["status"] == "cancelled"


def test_a_running_audit_is_being_cancelled_until_its_worker_stops(client, hand, submit):
    audit_id = submit()
    hand.claim(audit_id)
    for _ in range(2):
        answer = client.post(f"/v1/audits/{audit_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
        assert "retry-after" in answer.headers


def test_cancelling_what_is_over_changes_nothing(client, hand, submit):
    audit_id = submit()
    hand.succeed(audit_id)
    answer = client.post(f"/v1/audits/{audit_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


def test_deleting_removes_the_audit_and_the_files_only_it_used(client, submit, settings):
    first = submit()
    second = submit(probe=uploads.NPY)
    assert client.delete(f"/v1/audits/{first}").status_code == 204
    assert client.get(f"/v1/audits/{first}").status_code == 404
    kept = {path.read_bytes() for path in leftovers(settings.data_dir)}
    assert kept == {uploads.ONNX, uploads.NPY}
    assert client.delete(f"/v1/audits/{second}").status_code == 204
    assert leftovers(settings.data_dir) == []


def test_deleting_is_idempotent(client, submit):
    audit_id = submit()
    answers = [client.delete(f"/v1/audits/{name}") for name in (audit_id, audit_id, UNKNOWN, "x", "%00")]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 5


def test_a_running_audit_can_be_deleted_and_its_worker_records_nothing(client, hand, submit, app):
    from service.audits.repository import AuditRepository

    audit_id = submit()
    claim = hand.claim(audit_id)
    assert client.delete(f"/v1/audits/{audit_id}").status_code == 204
    with app.state.context.database.session() as session:
        assert not AuditRepository(session).finish_succeeded(claim, "{}", None)
    assert client.get(f"/v1/audits/{audit_id}/report").status_code == 404


def test_files_come_back_after_their_audit_was_deleted(client, submit):
    client.delete(f"/v1/audits/{submit()}")
    answer = client.post("/v1/audits", **form())
    digest = answer.json()["model"]["sha256"]
    assert client.get(f"/v1/artifacts/{digest}").content == uploads.ONNX
