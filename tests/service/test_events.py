"""Following an audit."""

import json

import pytest

from eigengate.contract import EventLog, FinishedEvent, LogEvent, ProgressEvent, StageEvent
from service.audits.repository import AuditRepository

EVENTS = (StageEvent(stage="load"), LogEvent(message="two\nlines"), ProgressEvent(stage="sweep", done=1, total=2))


def parsed(stream):
    """(id, event, data) of each event of a stream."""
    events = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


@pytest.fixture
def finished(app, hand, submit):
    audit_id = submit()
    claim = hand.claim(audit_id)
    hand.tell(claim, *EVENTS)
    with app.state.context.database.session() as session:
        AuditRepository(session).finish_cancelled(claim)
    return audit_id


def test_a_stream_tells_every_event_and_ends_with_the_audit(client, finished):
    answer = client.get(f"/v1/audits/{finished}/events", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    told = parsed(answer.text)
    assert [number for number, _, _ in told] == [1, 2, 3, 4]
    assert [kind for _, kind, _ in told] == ["stage", "log", "progress", "finished"]
    assert [data for _, _, data in told][:3] == [event.model_dump() for event in EVENTS]
    assert answer.text.startswith("retry: ")


def test_a_client_goes_on_where_it_left_off(client, finished):
    answer = client.get(f"/v1/audits/{finished}/events", headers={"Last-Event-ID": "2"})
    assert [number for number, _, _ in parsed(answer.text)] == [3, 4]


def test_a_client_that_has_seen_the_end_is_told_to_stop(client, finished):
    answer = client.get(f"/v1/audits/{finished}/events", headers={"Last-Event-ID": "4"})
    assert (answer.status_code, answer.content) == (204, b"")


def test_events_come_as_a_list_too(client, finished):
    answer = client.get(f"/v1/audits/{finished}/events", headers={"Accept": "application/json"})
    log = EventLog.model_validate_json(answer.content)
    assert log.events == (*EVENTS, FinishedEvent(status="cancelled"))


def test_an_audit_without_events_has_an_empty_list(client, submit):
    answer = client.get(f"/v1/audits/{submit()}/events", headers={"Accept": "application/json"})
    assert answer.json() == {"events": []}


def test_events_do_not_come_as_pictures(client, submit):
    answer = client.get(f"/v1/audits/{submit()}/events", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 12, "²"])
def test_an_event_id_is_a_number(client, submit, last):
    headers = {"Last-Event-ID": last.encode()}
    answer = client.get(f"/v1/audits/{submit()}/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
