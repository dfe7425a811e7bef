"""Stores of files: the same promises for a folder and for a bucket."""

import errno
import hashlib
import os
import sys
import time

import pytest

from eigengate.errors import ConfigError
from service.storage import (
    ArtifactCorruptError,
    ArtifactMissingError,
    LocalStore,
    S3Store,
    Staging,
    StorageFullError,
    UploadTooLargeError,
    materialise,
    open_store,
)

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="session")
def bucket():
    """The URL of an empty bucket of an S3 server of our own, with the credentials it wants."""
    boto3 = pytest.importorskip("boto3", reason="moto[server] brings it")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials.items():
            patch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="audits")
        client.close()
        yield f"s3://audits/files?endpoint={endpoint}&region=us-east-1"
    server.stop()


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        store = open_store((tmp_path / "blobs").as_uri())
        assert isinstance(store, LocalStore)
    else:
        store = open_store(request.getfixturevalue("bucket"))
        assert isinstance(store, S3Store)
    yield store
    for digest in list(store.digests()):
        store.delete(digest)


@pytest.fixture
def staging(tmp_path):
    return Staging(tmp_path / "staging", max_bytes=100_000, min_free_bytes=0)


def put(store, staging, content):
    with staging.file() as staged:
        staged.write(content[:10])
        staged.write(content[10:])
        staged.seal()
        assert (staged.sha256, staged.size) == (hashlib.sha256(content).hexdigest(), len(content))
        store.put(staged)


def test_what_is_put_can_be_read_back(store, staging, tmp_path):
    put(store, staging, CONTENT)
    assert store.stat(DIGEST) == len(CONTENT)
    assert b"".join(store.stream(DIGEST)) == CONTENT
    assert list(store.digests()) == [DIGEST]
    materialise(store, DIGEST, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert list((tmp_path / "staging").iterdir()) == []


def test_putting_twice_is_putting_once(store, staging):
    for _ in range(2):
        put(store, staging, CONTENT)
    assert list(store.digests()) == [DIGEST]


def test_what_is_deleted_is_missing(store, staging, tmp_path):
    put(store, staging, CONTENT)
    for _ in range(2):
        store.delete(DIGEST)
    assert store.stat(DIGEST) is None
    with pytest.raises(ArtifactMissingError, match=DIGEST):
        store.stream(DIGEST)


def test_a_store_that_answers_pings(store):
    store.ping()


def test_a_damaged_file_is_noticed_when_it_is_handed_out(tmp_path, staging):
    store = LocalStore(tmp_path / "blobs")
    put(store, staging, CONTENT)
    (tmp_path / "blobs" / DIGEST[:2] / DIGEST).write_bytes(CONTENT[:-1] + b"S")
    with pytest.raises(ArtifactCorruptError, match=DIGEST):
        materialise(store, DIGEST, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_file_handed_out_is_a_copy_of_its_own(tmp_path, staging):
    store = LocalStore(tmp_path / "blobs")
    put(store, staging, CONTENT)
    materialise(store, DIGEST, tmp_path / "copy")
    with (tmp_path / "copy").open("r+b") as copy:
        copy.write(b"hostile")
    assert b"".join(store.stream(DIGEST)) == CONTENT


def test_a_store_on_another_file_system_takes_a_copy(tmp_path, staging, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store = LocalStore(tmp_path / "blobs")
    put(store, staging, CONTENT)
    assert b"".join(store.stream(DIGEST)) == CONTENT
    assert list(store.digests()) == [DIGEST]


def test_a_full_disk_has_a_name_and_leaves_nothing(tmp_path, staging, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    store = LocalStore(tmp_path / "blobs")
    with pytest.raises(StorageFullError, match="disk is full"):
        put(store, staging, CONTENT)
    assert list(store.digests()) == []
    assert list((tmp_path / "staging").iterdir()) == []


def test_an_upload_is_cut_off_at_the_limit_and_removed(staging, tmp_path):
    with staging.file() as staged:
        staged.write(bytes(100_000))
        with pytest.raises(UploadTooLargeError, match="100000"):
            staged.write(b"1")
    assert list((tmp_path / "staging").iterdir()) == []


def test_uploads_stop_before_the_disk_is_full(tmp_path):
    staging = Staging(tmp_path, max_bytes=1, min_free_bytes=sys.maxsize)
    with pytest.raises(StorageFullError, match="bytes are free"), staging.file():
        pass


def test_uploads_of_dead_processes_are_swept(staging, tmp_path):
    old, new = tmp_path / "staging" / "old", tmp_path / "staging" / "new"
    for path in (old, new):
        path.write_bytes(b"x")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    assert staging.sweep(older_than=1800) == 1
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["new"]


def test_what_the_url_leaves_open_is_left_to_the_aws_variables(bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.partition("endpoint=")[2].partition("&")[0])
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = open_store("s3://audits/files")
    store.ping()  # by http, without a further switch
    assert store.stat(DIGEST) is None


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/x", "s3://", "s3://bucket?colour=blue", "/plain/path"])
def test_a_store_we_do_not_know_is_refused(url):
    with pytest.raises(ConfigError, match="store"):
        open_store(url)
