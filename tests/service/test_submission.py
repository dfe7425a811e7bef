"""POST /v1/audits: what is accepted, what is refused, and that a refusal leaves nothing behind."""

import hashlib
import json
import threading

import pytest

from service.audits.repository import AuditRepository
from service.refusals import InvalidRequestError
from tests.support import uploads
from tests.support.service import form, leftovers

SHARPNESS = '[[condition]]\nid = "sharpness"\nmetric = "hessian.lambda_max"\nop = "<="\nthreshold = 50\n'


@pytest.fixture
def nothing_left(app, settings, bell):
    """Asserts afterwards that the service is as it was: no row, no blob, no file on its way."""
    yield
    with app.state.context.database.reading() as session:
        assert AuditRepository(session).list()[0] == []
        assert session.connection().exec_driver_sql("SELECT count(*) FROM artifacts").scalar() == 0
    assert leftovers(settings.data_dir) == []
    assert bell.rung == []


def refused(answer, status, code):
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return problem


def test_a_submitted_audit_is_queued_stored_and_rung_for(client, bell, settings):
    answer = client.post("/v1/audits", **form(config='{"seed": 7}', policy=SHARPNESS, labels='{"branch": "main"}'))
    audit = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/audits/{audit['id']}" == audit["links"]["self"]
    assert answer.headers["retry-after"] == "1"
    assert audit["status"] == "queued"
    assert audit["config"]["seed"] == 7
    assert audit["labels"] == {"branch": "main"}
    assert audit["model"] == {
        "sha256": hashlib.sha256(uploads.ONNX).hexdigest(), "size": len(uploads.ONNX), "format": "onnx"
    }  # fmt: skip
    assert audit["probe"]["format"] == "npz"
    assert bell.rung == [(audit["id"], 0)]
    assert {path.read_bytes() for path in leftovers(settings.data_dir)} == {uploads.ONNX, uploads.NPZ}


@pytest.mark.parametrize(
    ("model", "probe", "formats"),
    [
        (uploads.TORCHSCRIPT, uploads.NPY, ("torchscript", "npy")),
        (uploads.ONNX, uploads.safetensors(), ("onnx", "safetensors")),
        (uploads.BUNDLES["zip, deflated"], uploads.NPZ, ("onnx", "npz")),
        (uploads.BUNDLES["tar.gz"], uploads.NPZ, ("onnx", "npz")),
    ],
)
def test_formats_are_told_by_content(client, model, probe, formats):
    audit = client.post("/v1/audits", **form(model, probe)).json()
    assert (audit["model"]["format"], audit["probe"]["format"]) == formats


def test_config_policy_and_labels_may_be_files_too(client):
    files = {
        "model": uploads.ONNX,
        "probe": uploads.NPZ,
        "config": ("config.json", b'{"seed": 5}', "application/json"),
        "policy": ("policy.toml", SHARPNESS.encode()),
    }
    answer = client.post("/v1/audits", files=files)
    assert answer.status_code == 202
    assert answer.json()["config"]["seed"] == 5


@pytest.mark.parametrize(
    "policy",
    [SHARPNESS, '{"extends": "builtin:strict"}', "builtin:recommended\n"],
    ids=["toml", "json", "preset"],
)
def test_a_policy_is_kept_with_its_presets_resolved(client, hand, policy):
    audit = client.post("/v1/audits", **form(policy=policy)).json()
    claimed = hand.claim(audit["id"]).policy
    assert claimed.extends is None
    assert claimed.condition


def test_the_broker_may_be_down(client, bell):
    bell.answers = False
    assert client.post("/v1/audits", **form()).status_code == 202


def test_the_same_files_are_kept_once(client, submit, settings):
    first, second = submit(), submit()
    assert first != second
    assert len(leftovers(settings.data_dir)) == 2


def test_an_audit_of_uploaded_files_is_submitted_as_json(client, bell):
    digests = {}
    for role, content in (("model", uploads.TORCHSCRIPT), ("probe", uploads.NPY)):
        digests[role] = hashlib.sha256(content).hexdigest()
        assert client.put(f"/v1/artifacts/{digests[role]}", content=content).status_code == 201
    answer = client.post(
        "/v1/audits", json={**digests, "config": {"seed": 2}, "policy": "builtin:strict", "labels": {"a": "b"}}
    )
    audit = answer.json()
    assert answer.status_code == 202
    assert (audit["model"]["sha256"], audit["probe"]["sha256"]) == (digests["model"], digests["probe"])
    assert audit["model"]["format"] == "torchscript"
    assert bell.rung == [(audit["id"], 0)]


def test_a_post_may_wait_for_the_end(client, hand, app):
    def finish():
        while True:
            with app.state.context.database.reading() as session:
                found, _ = AuditRepository(session).list(status="queued")
            if found:
                return hand.succeed(found[0].audit.id)

    worker = threading.Thread(target=finish)
    worker.start()
    answer = client.post("/v1/audits", headers={"Prefer": "respond-async, wait=30"}, **form())
    worker.join()
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.json()["status"] == "succeeded"
    assert "retry-after" not in answer.headers


MODELS = [
    (b"", "model_load_failed", "empty"),
    (uploads.PICKLE, "unsupported_format", "pickle"),
    (uploads.CHECKPOINT, "unsupported_format", "weights without computation"),
    (uploads.PACKAGE, "unsupported_format", "torch.package"),
    (uploads.HDF5, "unsupported_format", "HDF5"),
    (uploads.NPZ, "unsupported_format", "probe data"),
    (uploads.safetensors(), "unsupported_format", "no computation"),
    (uploads.archive("readme.txt"), "unsupported_format", "zip archive of other files"),
    (uploads.tar("w", readme=b"hello"), "unsupported_format", "tar archive of other files"),
    (uploads.TORCHSCRIPT[:-30], "model_load_failed", "damaged"),
    (uploads.ONNX[:-1], "unsupported_format", "no format known"),
    (uploads.ONNX[:2], "unsupported_format", "no format known"),
    (b"GIF89a and more", "unsupported_format", "no format known"),
]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("model", "code", "words"), MODELS)
def test_what_no_worker_could_load_is_refused_at_once(client, model, code, words):
    problem = refused(client.post("/v1/audits", **form(model)), 422, code)
    assert words in problem["detail"]
    assert problem["hint"]


PROBES = [
    (b"", "empty"),
    (uploads.PICKLE, "pickle"),
    (uploads.ONNX, "is a model"),
    (uploads.archive("x.npy", "evil.pkl"), "zip archive of other files"),
    (b"x,y\n1,2\n", "no format known"),
]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("probe", "words"), PROBES)
def test_probe_data_of_other_formats_are_refused_at_once(client, probe, words):
    problem = refused(client.post("/v1/audits", **form(probe=probe)), 422, "probe_format")
    assert words in problem["detail"]
    assert problem["hint"]


CONFIGS = [
    ('{"sed": 3}', "/sed", "did you mean 'seed'"),
    ('{"output": {"kin": "logits"}}', "/output/kin", "did you mean 'kind'"),
    ('{"seed": -1}', "/seed", "greater than or equal"),
    ('{"seed": 1e400}', "/seed", "integer"),
    ('{"seed": "1"}', "/seed", "integer"),
    ('{"accuracy": NaN}', "", "not JSON"),
    ('{"max_samples": 1}', "/max_samples", "greater than or equal"),
    ('{"time_limit_s": 601}', "/time_limit_s", "600 s this service allows"),
    ('{"quantities": ["ntk", "entropy"]}', "/quantities/1", "Input should be"),
    ('{"a/b~c": 1}', "/a~1b~0c", "unknown key"),
    ("[1]", "", "table of settings"),
    ("{", "", "not JSON"),
    ("[" * 5000, "", "not JSON"),
    ('{"seed": ' + "9" * 5000 + "}", "", ""),
    ("null", "", ""),
]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("config", "pointer", "words"), CONFIGS, ids=[config[:24] for config, _, _ in CONFIGS])
def test_a_senseless_configuration_is_refused_with_the_place_of_each_mistake(client, config, pointer, words):
    problem = refused(client.post("/v1/audits", **form(config=config)), 422, "invalid_config")
    first = problem["errors"][0]
    if words:
        assert (first["pointer"], words in first["message"]) == (pointer, True), problem


def test_every_unknown_key_is_named_in_the_detail(client):
    answer = client.post("/v1/audits", **form(config='{"sed": 3, "max_sample": 3}'))
    detail = refused(answer, 422, "invalid_config")["detail"]
    assert "'sed'" in detail
    assert "'max_sample'" in detail


POLICIES = [
    ('[[condition]]\nid = "a"\nmetrc = "x"\n', "/condition/0/metrc"),
    ('[[condition]]\nid = "a"\nmetric = "hessian.lambda_mox"\nop = "<="\nthreshold = 1\n', "/condition/0/metric"),
    ('extends = "builtin:nothing"', "/extends"),
    ('extends = "../../etc/passwd"', "/extends"),
    ("condition = [", ""),
    ("[" * 50_000, ""),
    ("a" + ".a" * 30_000 + " = 1", None),
    ("mode: inspect", ""),
    ("{", ""),
    ("builtin:nothing", None),
    ("\x00\x01", ""),
]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("policy", "pointer"), POLICIES, ids=[policy[:20] for policy, _ in POLICIES])
def test_a_senseless_policy_is_refused_with_the_place_of_its_mistake(client, policy, pointer):
    problem = refused(client.post("/v1/audits", **form(policy=policy)), 422, "invalid_policy")
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    "labels",
    [
        '{"a b": "c"}',
        '{"a": 1}',
        '["a"]',
        '{"a": "' + "x" * 256 + '"}',
        '{"' + "k" * 64 + '": "v"}',
        "{",
        json.dumps({str(n): "" for n in range(65)}),
    ],
)
def test_senseless_labels_are_refused(client, labels):
    refused(client.post("/v1/audits", **form(labels=labels)), 422, "invalid_request")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("files", "pointer"),
    [
        ({"model": uploads.ONNX}, "/probe"),
        ({"probe": uploads.NPZ}, "/model"),
        ({"model": uploads.ONNX, "probe": uploads.NPZ, "extra": b"x"}, "/extra"),
        ([("model", uploads.ONNX), ("model", uploads.ONNX), ("probe", uploads.NPZ)], "/model"),
        ({"model": uploads.ONNX, "probe": uploads.NPZ, "config": b" " * (2**16 + 1)}, "/config"),
    ],
)
def test_a_form_of_other_parts_is_refused(client, files, pointer):
    problem = refused(client.post("/v1/audits", files=files), 422, InvalidRequestError.code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nab'),
        ("multipart/form-data; boundary=" + "x" * 500, b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A: b\r\n" * 1000 + b"\r\n--x--"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: " + b"b" * 50_000 + b"\r\n\r\n--x--"),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"[" * 60_000),
        ("application/json", b'{"model": "\xff"}'),
        ("application/json", b'{"model": "\\ud800"}'),
    ],
)
def test_an_unreadable_request_is_refused(client, content_type, body):
    answer = client.post("/v1/audits", headers={"Content-Type": content_type}, content=body)
    refused(answer, 400, "malformed_request")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("content_type", ["text/csv", "", "application/x-www-form-urlencoded"])
def test_other_content_types_are_refused(client, content_type):
    answer = client.post("/v1/audits", headers={"Content-Type": content_type}, content=b"x")
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("role", ["model", "probe"])
def test_a_file_beyond_the_limit_is_refused(client, role):
    refused(client.post("/v1/audits", **form(**{role: bytes(100_001)})), 413, "upload_too_large")


@pytest.mark.usefixtures("nothing_left")
def test_a_request_that_announces_too_much_is_refused_before_it_is_read(client):
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "99999999999"}
    refused(client.post("/v1/audits", headers=headers, content=iter([b""])), 413, "upload_too_large")


@pytest.mark.usefixtures("nothing_left")
def test_an_epilogue_counts_too(client):
    request = client.build_request("POST", "/v1/audits", files={"model": b"x"})
    body = b"".join(request.stream) + bytes(2**20)
    answer = client.post("/v1/audits", headers={"Content-Type": request.headers["content-type"]}, content=body)
    refused(answer, 413, "upload_too_large")


@pytest.mark.usefixtures("nothing_left")
def test_an_audit_of_files_that_are_not_here_is_refused(client):
    answer = client.post("/v1/audits", json={"model": "a" * 64, "probe": "b" * 64})
    problem = refused(answer, 422, "unknown_artifact")
    assert problem["errors"][0]["pointer"] == "/model"


@pytest.mark.parametrize(
    ("request_body", "code", "pointer"),
    [
        ({"model": "a" * 64}, "invalid_request", "/probe"),
        ({"model": "A" * 64, "probe": "b" * 64}, "invalid_request", "/model"),
        ({"model": "a" * 64, "probe": "b" * 64, "colour": 1}, "invalid_request", "/colour"),
        ({"model": "a" * 64, "probe": "b" * 64, "config": {"sed": 1}}, "invalid_config", "/sed"),
        ({"model": "a" * 64, "probe": "b" * 64, "config": "seed"}, "invalid_config", ""),
        ({"model": "a" * 64, "probe": "b" * 64, "policy": {"mood": 1}}, "invalid_policy", "/mood"),
    ],
)
@pytest.mark.usefixtures("nothing_left")
def test_a_senseless_json_request_is_refused(client, request_body, code, pointer):
    problem = refused(client.post("/v1/audits", json=request_body), 422, code)
    assert pointer in [error["pointer"] for error in problem["errors"]]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("policy", [7, ["x"], True])
def test_a_policy_is_a_table_or_text(client, policy):
    answer = client.post("/v1/audits", json={"model": "a" * 64, "probe": "b" * 64, "policy": policy})
    refused(answer, 422, "invalid_policy")


def test_model_and_probe_swapped_by_digest_are_refused(client):
    digest = hashlib.sha256(uploads.NPZ).hexdigest()
    client.put(f"/v1/artifacts/{digest}", content=uploads.NPZ)
    problem = refused(client.post("/v1/audits", json={"model": digest, "probe": digest}), 422, "unsupported_format")
    assert problem["hint"] == "Are model and probe swapped?"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_full_queue_refuses_more(client, submit, app, as_json):
    audit_id = submit()
    context = app.state.context
    object.__setattr__(context, "settings", context.settings.model_copy(update={"max_queued": 1}))
    audit = client.get(f"/v1/audits/{audit_id}").json()
    request = {"json": {"model": audit["model"]["sha256"], "probe": audit["probe"]["sha256"]}} if as_json else form()
    answer = client.post("/v1/audits", **request)
    refused(answer, 503, "queue_full")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.usefixtures("nothing_left")
def test_too_little_free_space_refuses_uploads(client, app):
    app.state.context.staging._min_free_bytes = 2**60
    answer = client.post("/v1/audits", **form())
    assert "bytes are free" in refused(answer, 507, "storage_full")["detail"]
    assert int(answer.headers["retry-after"]) > 0


def test_secrets_of_the_settings_are_not_shown(settings):
    shown = repr(
        settings.model_copy(update={"database_url": "postgresql://u:s3same@h/d", "broker_url": "redis://:pw@h"})
    )
    assert "s3same" not in shown
    assert ":pw@" not in shown


def test_form_fields_survive_any_chunking(app, settings):
    """The parser sees the body in whatever pieces the network makes of it."""
    from service.audits.form import IncomingForm

    body = (
        b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\nContent-Type: a/b\r\n\r\n'
        + uploads.TORCHSCRIPT
        + b'\r\n--x\r\ncontent-disposition: form-data; name=config\r\n\r\n{"seed": 1}'
        + b'\r\n--x\r\nContent-Disposition: form-data; name="probe"\r\n\r\n\r\n--x--\r\n'
    )
    for size in (1, 2, 3, 7, 64, len(body)):
        with app.state.context.staging.file() as model, app.state.context.staging.file() as probe:
            incoming = IncomingForm("multipart/form-data; boundary=x", {"model": model, "probe": probe})
            for start in range(0, len(body), size):
                incoming.write(body[start : start + size])
            incoming.finish()
            assert model.path.read_bytes() == uploads.TORCHSCRIPT
            assert (probe.size, json.loads(incoming.fields["config"])) == (0, {"seed": 1})
