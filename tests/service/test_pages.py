"""The front page, the service's word about itself, and what is loaded to say it."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from service.pages.contexts import AuditLine, HomePage

ROOT = Path(__file__).parents[2]


def test_the_front_page_lists_the_newest_audits(client, submit, hand):
    done, waiting = submit(labels='{"branch": "main"}'), submit()
    outcome = hand.succeed(done).outcome
    page = client.get("/").text
    assert f"/v1/audits/{done}/report?format=html" in page
    assert f'href="/v1/audits/{waiting}"' in page
    assert outcome in page
    assert "branch: main" in page


def test_an_empty_service_says_so(shared_client):
    answer = shared_client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "None yet" in answer.text


def test_what_strangers_write_is_escaped(client, submit):
    submit(labels='{"title": "<script>alert(1)</script>"}')
    page = client.get("/").text
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_first_command_can_be_copied_as_it_stands(shared_client):
    page = shared_client.get("/", headers={"Host": "example.org:8000"}).text
    assert "http://example.org:8000/v1/audits</pre>" in page


@pytest.mark.parametrize("context", [AuditLine, HomePage])
def test_every_field_of_a_page_is_explained(context):
    assert all(f"``{field.name}``" in context.__doc__ for field in fields(context) if field.name not in PLAIN)


PLAIN = {"id", "labels", "created_at"}


def test_the_service_tells_its_limits_and_formats(shared_client):
    info = shared_client.get("/v1/info").json()
    assert info["limits"]["max_upload_bytes"] == 100_000
    assert info["formats"]["model"] == ["torchscript", "onnx", "pt2"]
    assert "builtin:recommended" in info["policy_presets"]
    assert info["versions"]["eigengate"]
    assert info["sandbox"] == "unknown"


@pytest.mark.parametrize("module", ["service.app", "service.retention", "service.audits.repository"])
def test_a_fresh_interpreter_loads_nothing_that_measures(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'workers', 'eigengate.loading'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
