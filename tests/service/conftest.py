import shutil

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from service.app import create_app
from service.database import Base, Database
from service.settings import Settings
from tests.support.service import RecordingBell, WorkerHand, form
from tests.support.throwaway import postgres_url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """A migrated SQLite file to copy, so that not every test migrates."""
    path = tmp_path_factory.mktemp("template") / "eigengate.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres():
    with postgres_url() as url:
        database = Database(url)
        database.migrate()
        yield database
        database.close()


@pytest.fixture
def sqlite(migrated, tmp_path):
    database = Database(f"sqlite:///{shutil.copy(migrated, tmp_path / 'test.db')}")
    yield database
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def database(request):
    """A migrated and empty database that nobody else uses, of every kind."""
    database = request.getfixturevalue(request.param)
    yield database
    with database.session() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))


@pytest.fixture
def settings(tmp_path, migrated):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(migrated, data_dir / "eigengate.db")
    return Settings(data_dir=data_dir, min_free_bytes=0, max_upload_bytes=100_000, poll_seconds=0.02)


@pytest.fixture
def bell():
    return RecordingBell()


@pytest.fixture
def app(settings, bell):
    return create_app(settings, doorbell=bell)


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


@pytest.fixture
def hand(app):
    return WorkerHand(app.state.context.database)


@pytest.fixture
def submit(client):
    def submit(**fields):
        answer = client.post("/v1/audits", **form(**fields))
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    return submit


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory, migrated):
    """An empty service for tests that change nothing."""
    data_dir = tmp_path_factory.mktemp("shared")
    shutil.copy(migrated, data_dir / "eigengate.db")
    settings = Settings(data_dir=data_dir, min_free_bytes=0, max_upload_bytes=100_000)
    with TestClient(create_app(settings, doorbell=RecordingBell())) as client:
        yield client
