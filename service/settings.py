"""What an operator can choose, as ``EIGENGATE_…`` environment variables."""

from pathlib import Path
from typing import final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.audits.lease import LeaseTerms

GIB = 2**30
DAY = 86_400


@final
class Settings(BaseSettings):
    """Settings of the service and the workers; both read the same ones, so that they agree on leases and limits."""

    model_config = SettingsConfigDict(env_prefix="EIGENGATE_", frozen=True, extra="forbid")

    data_dir: Path = Field(Path(".eigengate"), description="Folder of the embedded database, blobs and uploads.")
    database_url: str | None = Field(
        None, repr=False, description="PostgreSQL or SQLite URL; default: an SQLite file in data_dir."
    )
    broker_url: str = Field("memory://", repr=False, description="Celery broker; memory:// reaches this process only.")
    blob_url: str | None = Field(
        None,
        repr=False,
        description="Where files are kept: s3://bucket/prefix?endpoint=…&region=…; default: a folder in data_dir.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")

    max_upload_bytes: int = Field(GIB // 2, gt=0, description="Largest model or probe file.")
    min_free_bytes: int = Field(GIB, ge=0, description="Free disk space below which uploads are refused.")
    max_queued: int = Field(1000, ge=1, description="Audits waiting at once; further ones are refused.")

    lease_seconds: float = Field(30, gt=0, description="How long a worker may be silent before its audit is given on.")
    heartbeat_seconds: float = Field(1, gt=0, description="How often a worker renews its lease and hears of a cancel.")
    sweep_seconds: float = Field(10, gt=0, description="How often lost audits and unanswered bells are looked for.")
    bell_seconds: float = Field(20, gt=0, description="How long a bell may go unanswered before it is rung again.")
    max_attempts: int = Field(2, ge=1, description="Starts of one audit before it is given up.")
    time_limit_s: float = Field(600, gt=0, description="Wall-clock limit of an audit that names none; also the most.")
    memory_limit_bytes: int = Field(8 * GIB, ge=2**28, description="Memory limit of one audit.")
    poll_seconds: float = Field(0.25, gt=0, description="How often waiting requests look at the database.")

    queue_retention_s: float = Field(7 * DAY, gt=0, description="How long an audit may wait before it expires.")
    artifact_retention_s: float = Field(DAY, gt=0, description="How long an uploaded file no audit uses is kept.")
    audit_retention_s: float | None = Field(
        None, gt=0, description="How long finished audits and their reports are kept; default: until deleted."
    )

    @property
    def database_address(self) -> str:
        """The database to use: the configured one, or the embedded file."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'eigengate.db'}"

    @property
    def blob_address(self) -> str:
        """The store to use: the configured one, or the embedded folder."""
        return self.blob_url or (self.data_dir.absolute() / "blobs").as_uri()

    @property
    def staging_dir(self) -> Path:
        """Where uploads lie until they are whole and accepted."""
        return self.data_dir.absolute() / "staging"

    @property
    def lease_terms(self) -> LeaseTerms:
        return LeaseTerms(seconds=self.lease_seconds, max_attempts=self.max_attempts)
