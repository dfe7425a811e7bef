"""A worker's surroundings in one folder, and children that do what a test tells them.

The stand-in for the child enters the same jail, then runs the uploaded "model" as a Python script, in which
``leave_report()`` leaves a good report.
"""

import hashlib
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eigengate.contract import ArtifactInfo, Audit, AuditConfig, AuditRequest
from service.artifacts.repository import ArtifactRepository
from service.audits.repository import AuditRepository
from service.database import Database
from service.settings import Settings
from service.storage import Staging, open_store
from tests.support.reports import make_report
from workers.drain import Drain
from workers.lifecycle import Lifecycle
from workers.records import Records
from workers.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"""
import sys
sys.path.append({str(ROOT)!r})
"""
    """
import hashlib, json, os, signal, sys, time
from workers.sandbox.jail import enter
from workers.sandbox.limits import Limits

request = json.load(open("request.json"))
enter(Limits.from_json(request["limits"]), parent=request["parent"])

def say(**event):
    os.write(1, json.dumps(event).encode() + b"\\n")

def report():
    found = json.load(open("probe"))
    for part in ("model", "probe"):
        found[part]["sha256"] = hashlib.sha256(open(part, "rb").read()).hexdigest()
    return found

def leave(text):
    open("report.json", "w").write(text)

def leave_report(**changes):
    leave(json.dumps(report() | changes))

exec(open("model").read())
""",
)


@dataclass
class Bench:
    """Database, store and lifecycle in ``folder``, with leases that run out quickly."""

    folder: Path
    options: dict = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        quick = {"heartbeat_seconds": 0.1, "lease_seconds": 1.5, "min_free_bytes": 0}
        return Settings(data_dir=self.folder, **{**quick, **self.options})

    @cached_property
    def database(self) -> Database:
        database = Database(self.settings.database_address)
        database.migrate()
        return database

    @cached_property
    def drain(self) -> Drain:
        return Drain(grace_s=0)

    def lifecycle(self, worker: str = "worker", **worker_settings) -> Lifecycle:
        work_dir = self.folder / "work"
        work_dir.mkdir(exist_ok=True)
        return Lifecycle(
            records=Records(self.database, self.settings.lease_terms, worker),
            store=open_store(self.settings.blob_address),
            work_dir=work_dir,
            settings=self.settings,
            worker_settings=WorkerSettings(threads=1, **worker_settings),
            drain=self.drain,
            command=STAND_IN,
        )

    def submit(self, script: str, *, policy=None, config: AuditConfig | None = None) -> str:
        """Queue an audit whose "model" is ``script``."""
        model = self.store(script.encode())
        probe = self.store(make_report().model_dump_json().encode())
        request = AuditRequest(model=model, probe=probe, config=config or AuditConfig(), policy=policy)
        with self.database.session() as session:
            return AuditRepository(session, self.settings.lease_terms).create(request)

    def store(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        staging = Staging(self.settings.staging_dir, max_bytes=1 << 30, min_free_bytes=0)
        with staging.file() as staged, self.database.session() as session:
            staged.write(data)
            staged.seal()
            ArtifactRepository(session).record(ArtifactInfo(sha256=sha256, size=len(data)))
            open_store(self.settings.blob_address).put(staged)
        return sha256

    def audit(self, audit_id: str) -> Audit:
        with self.database.reading() as session:
            found = AuditRepository(session).get(audit_id)
        assert found is not None
        return found.audit

    def report(self, audit_id: str):
        with self.database.reading() as session:
            return AuditRepository(session).report(audit_id)

    def events(self, audit_id: str):
        with self.database.reading() as session:
            return [event for _, event in AuditRepository(session).events(audit_id)]

    def cancel(self, audit_id: str) -> bool:
        with self.database.session() as session:
            return AuditRepository(session).cancel(audit_id)

    def close(self) -> None:
        self.drain.close()
        self.database.close()
