"""Throwing away what nobody needs."""

import hashlib
import os
import time

import pytest

from service.context import Context
from service.retention import collect_garbage
from tests.support import uploads
from tests.support.service import leftovers

DIGEST = hashlib.sha256(uploads.NPY).hexdigest()


@pytest.fixture
def collect(app):
    """Collects garbage under other settings."""
    context = app.state.context

    def collect(**update):
        settings = context.settings.model_copy(update=update)
        collect_garbage(
            Context(
                settings=settings,
                database=context.database,
                store=context.store,
                staging=context.staging,
                doorbell=context.doorbell,
            )
        )

    return collect


def test_files_no_audit_uses_go_after_their_time(client, submit, collect, settings):
    submit()
    client.put(f"/v1/artifacts/{DIGEST}", content=uploads.NPY)
    collect()
    assert client.head(f"/v1/artifacts/{DIGEST}").status_code == 200
    collect(artifact_retention_s=-1)
    assert client.head(f"/v1/artifacts/{DIGEST}").status_code == 404
    assert {path.read_bytes() for path in leftovers(settings.data_dir)} == {uploads.ONNX, uploads.NPZ}


def test_finished_audits_go_after_their_time_with_their_files(client, submit, hand, collect, settings):
    done, waiting = submit(probe=uploads.NPY), submit()
    hand.succeed(done)
    collect()
    collect(audit_retention_s=3600)
    assert client.get(f"/v1/audits/{done}").status_code == 200
    collect(audit_retention_s=-1)
    assert client.get(f"/v1/audits/{done}").status_code == 404
    assert client.get(f"/v1/audits/{waiting}").status_code == 200
    assert {path.read_bytes() for path in leftovers(settings.data_dir)} == {uploads.ONNX, uploads.NPZ}


def test_files_nobody_knows_and_uploads_of_dead_processes_go(app, submit, collect, settings):
    submit()
    stranger = settings.data_dir / "blobs" / "ab" / ("ab" * 32)
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes(b"x")
    abandoned = settings.staging_dir / "abandoned"
    abandoned.write_bytes(b"x")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    collect()
    assert not stranger.exists()
    assert not abandoned.exists()
    assert len(leftovers(settings.data_dir)) == 2
