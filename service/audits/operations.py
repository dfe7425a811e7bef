"""What can be done with audits. Each operation is one transaction; a bell is rung after it."""

import re

from eigengate.contract import ArtifactInfo, AuditRequest
from service.artifacts.recognition import recognise, require_model, require_probe
from service.artifacts.repository import ArtifactRepository
from service.audits.form import IncomingForm
from service.audits.order import request_of_form, request_of_json
from service.audits.records import StoredAudit
from service.audits.repository import AuditRepository
from service.context import Context
from service.refusals import QueueFullError, UnknownArtifactError, UnknownAuditError
from service.storage import StagedFile

_ID = re.compile(r"aud_[0-9a-f]{32}")


def submit_files(context: Context, form: IncomingForm, model: StagedFile, probe: StagedFile) -> StoredAudit:
    """Check the uploaded files and the rest of the form, keep the files, queue the audit."""
    form.finish()
    infos = {model: require_model(_recognise(model)), probe: require_probe(_recognise(probe))}
    request = request_of_form(model.sha256, probe.sha256, form.fields, time_limit_s=context.settings.time_limit_s)
    with context.database.session() as session:
        audits, artifacts = AuditRepository(session), ArtifactRepository(session)
        _require_room(context, audits)
        for file, kind in infos.items():
            artifacts.record(ArtifactInfo(sha256=file.sha256, size=file.size, format=kind))
            context.store.put(file)
        stored = _created(audits, request)
    context.doorbell.ring(stored.audit.id, stored.audit.attempt)
    return stored


def submit_digests(context: Context, body: bytes) -> StoredAudit:
    """Queue an audit of files that were uploaded before."""
    request = request_of_json(body, time_limit_s=context.settings.time_limit_s)
    with context.database.session() as session:
        audits, artifacts = AuditRepository(session), ArtifactRepository(session)
        _require_room(context, audits)
        require_model(_touched(artifacts, "model", request.model))
        require_probe(_touched(artifacts, "probe", request.probe))
        stored = _created(audits, request)
    context.doorbell.ring(stored.audit.id, stored.audit.attempt)
    return stored


def find(context: Context, audit_id: str) -> StoredAudit:
    """The audit as it stands; raises ``UnknownAuditError``."""
    with context.database.reading() as session:
        return find_in(AuditRepository(session), audit_id)


def cancel(context: Context, audit_id: str) -> StoredAudit:
    """Ask that the audit stop; nothing happens if it is over."""
    with context.database.session() as session:
        audits = AuditRepository(session)
        find_in(audits, audit_id)
        audits.cancel(audit_id)
        return find_in(audits, audit_id)


def delete(context: Context, audit_id: str) -> None:
    """Delete the audit, its events and its report, and the files no other audit uses.

    A running audit goes too: its worker learns of it at the next heartbeat, stops, and can record nothing.
    """
    with context.database.session() as session:
        digests = AuditRepository(session).delete(audit_id) if _ID.fullmatch(audit_id) else ()
        for sha256 in ArtifactRepository(session).drop_unused(digests):
            context.store.delete(sha256)


def _created(audits: AuditRepository, request: AuditRequest) -> StoredAudit:
    return find_in(audits, audits.create(request))


def find_in(audits: AuditRepository, audit_id: str) -> StoredAudit:
    """The audit within a transaction that is under way; raises ``UnknownAuditError``."""
    stored = audits.get(audit_id) if _ID.fullmatch(audit_id) else None
    if stored is None:
        raise UnknownAuditError(f"there is no audit {audit_id[:64]!r}", hint="It may have been deleted.")
    return stored


def _require_room(context: Context, audits: AuditRepository) -> None:
    if (waiting := audits.queue_length()) >= context.settings.max_queued:
        raise QueueFullError(f"{waiting} audits are waiting already", hint="Try again later.")


def _recognise(file: StagedFile) -> str:
    with file.read() as content:
        return recognise(content, file.size)


def _touched(artifacts: ArtifactRepository, role: str, sha256: str) -> str:
    info = artifacts.touch(sha256)
    if info is None:
        fault = {"pointer": f"/{role}", "message": f"no file {sha256} is here"}
        raise UnknownArtifactError(
            f"the {role} {sha256} is not here",
            hint="PUT it to /v1/artifacts/{sha256} first.",
            context={"errors": [fault]},
        )
    return info.format or "unknown"
