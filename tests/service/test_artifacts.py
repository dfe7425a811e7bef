"""Uploading files by digest, asking for them, downloading them."""

import gzip
import hashlib
import io
import tracemalloc
import zipfile

import pytest

from eigengate.errors import InputError
from service.artifacts.recognition import recognise, require_known
from tests.support import uploads
from tests.support.service import leftovers

DIGEST = hashlib.sha256(uploads.TORCHSCRIPT).hexdigest()


def test_an_upload_is_new_once(client, settings):
    first, second = (client.put(f"/v1/artifacts/{DIGEST}", content=uploads.TORCHSCRIPT) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert (
        first.json() == second.json() == {"sha256": DIGEST, "size": len(uploads.TORCHSCRIPT), "format": "torchscript"}
    )
    assert len(leftovers(settings.data_dir)) == 1


def test_a_file_comes_back_as_it_was(client):
    assert client.head(f"/v1/artifacts/{DIGEST}").status_code == 404
    client.put(f"/v1/artifacts/{DIGEST}", content=iter([uploads.TORCHSCRIPT[:7], uploads.TORCHSCRIPT[7:]]))
    head, got = client.head(f"/v1/artifacts/{DIGEST}"), client.get(f"/v1/artifacts/{DIGEST}")
    assert (head.status_code, head.content) == (200, b"")
    assert got.content == uploads.TORCHSCRIPT
    assert hashlib.sha256(got.content).hexdigest() == DIGEST
    for answer in (head, got):
        assert answer.headers["content-length"] == str(len(uploads.TORCHSCRIPT))
        assert answer.headers["etag"] == f'"{DIGEST}"'
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_uploading_again_mends_a_damaged_file(client, settings):
    client.put(f"/v1/artifacts/{DIGEST}", content=uploads.TORCHSCRIPT)
    (stored,) = leftovers(settings.data_dir)
    stored.write_bytes(b"damaged")
    assert client.put(f"/v1/artifacts/{DIGEST}", content=uploads.TORCHSCRIPT).status_code == 200
    assert client.get(f"/v1/artifacts/{DIGEST}").content == uploads.TORCHSCRIPT


@pytest.mark.parametrize(
    ("digest", "content", "status", "code"),
    [
        ("a" * 64, uploads.ONNX, 422, "digest_mismatch"),
        (DIGEST, bytes(100_001), 413, "upload_too_large"),
        ("A" * 64, uploads.ONNX, 422, "invalid_request"),
        ("abc", uploads.ONNX, 422, "invalid_request"),
        (hashlib.sha256(uploads.PICKLE).hexdigest(), uploads.PICKLE, 422, "unsupported_format"),
        (hashlib.sha256(b"").hexdigest(), b"", 422, "model_load_failed"),
    ],
)
def test_a_refused_upload_leaves_nothing_behind(client, settings, digest, content, status, code):
    answer = client.put(f"/v1/artifacts/{digest}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert leftovers(settings.data_dir) == []
    assert client.head(f"/v1/artifacts/{digest}").status_code in (404, 422)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unknown_file_is_not_found(shared_client, method):
    answer = shared_client.request(method, f"/v1/artifacts/{'0' * 64}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_file_lost_from_the_store_is_our_fault(client, settings):
    client.put(f"/v1/artifacts/{DIGEST}", content=uploads.TORCHSCRIPT)
    (stored,) = leftovers(settings.data_dir)
    stored.unlink()
    answer = client.get(f"/v1/artifacts/{DIGEST}")
    assert (answer.status_code, answer.json()["code"]) == (500, "artifact_missing")
    assert str(settings.data_dir) not in answer.text


@pytest.mark.parametrize("content", [uploads.PT2, uploads.OLD_PT2])
def test_both_layouts_of_torch_export_are_recognised(content):
    assert recognise(io.BytesIO(content), len(content)) == "pt2"


@pytest.mark.parametrize("content", uploads.BUNDLES.values(), ids=uploads.BUNDLES)
def test_an_onnx_model_with_its_data_files_is_recognised_in_an_archive(content):
    assert recognise(io.BytesIO(content), len(content)) == "onnx"


def test_a_model_whose_graph_is_out_of_sight_is_recognised_in_an_archive():
    """A long description stands in front of the graph."""
    model = b"\x08\x07\x32\xe8\x07" + bytes(1000) + uploads.ONNX[2:]
    content = uploads.bundle(model=model)
    assert recognise(io.BytesIO(content), len(content)) == "onnx"


LOOKALIKES = {
    "torchscript with a model among its extra files": (
        uploads.bundle(**dict.fromkeys(["m/constants.pkl", "m/code/x.py"], b""), **{"m/extra/model": uploads.ONNX}),
        "torchscript",
    ),
    "zip of other files": (uploads.bundle(data=uploads.WEIGHTS, notes=b"\x08\x07 no model"), "zip"),
    "zip of a model cut short": (uploads.bundle(model=uploads.ONNX[:-1]), "zip"),
    "zip by another method": (uploads.bundle(zipfile.ZIP_LZMA, model=uploads.ONNX), "zip"),
    "tar of other files": (uploads.tar("w", data=uploads.WEIGHTS), "tar"),
    "gzip of a model": (gzip.compress(uploads.ONNX), "gzip"),
    "gzip cut short": (gzip.compress(uploads.WEIGHTS)[:12], "gzip"),
}


@pytest.mark.parametrize(("content", "found"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_an_archive_is_not_taken_for_what_it_is_not(content, found):
    assert recognise(io.BytesIO(content), len(content)) == found


def test_looking_into_an_archive_unpacks_only_beginnings():
    content = uploads.bundle(**{f"zeros{k}": b"\x08\x07" + bytes(4 << 20) for k in range(4)})
    tracemalloc.start()
    assert recognise(io.BytesIO(content), len(content)) == "zip"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def refusal_of(found):
    try:
        require_known(found)
    except InputError as refusal:
        return refusal
    return None


@pytest.mark.parametrize(
    "content",
    [
        *(uploads.ONNX, uploads.TORCHSCRIPT, uploads.PT2, uploads.NPZ, uploads.NPY, uploads.safetensors()),
        *uploads.BUNDLES.values(),
    ],
    ids=range(10),
)
def test_no_cut_or_bit_flip_confuses_the_recognition(tmp_path, content):
    """It answers or refuses in words of ours; it never fails."""
    path = tmp_path / "file"
    for position in range(0, len(content), max(1, len(content) // 60)):
        flipped = bytearray(content)
        flipped[position] ^= 0x80
        for damaged in (content[:position], bytes(flipped), content + content[:position]):
            path.write_bytes(damaged)
            with path.open("rb") as file:
                found = recognise(file, len(damaged))
            refusal = refusal_of(found)
            assert refusal is None or refusal.hint
