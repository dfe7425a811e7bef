"""An audit on a service, followed from the terminal."""

from pathlib import Path

from rich.console import Console

from eigengate.cli.client import ServiceClient
from eigengate.cli.progress import ProgressDisplay
from eigengate.contract import Audit, AuditConfig, StabilityReport
from eigengate.errors import EigengateError, InfrastructureError, InputError


def audit_there(url: str, model: Path, probe: Path, config: AuditConfig, console: Console) -> StabilityReport:
    """Submit, follow and fetch; an interrupt cancels the audit on the service.

    Raises:
        InputError: the service cannot audit the input.
        InfrastructureError: the service failed, timed out or cannot be reached.
    """
    for path in (model, probe):
        if not path.is_file():
            raise InputError(f"there is no file {str(path)!r}", hint="check the path")
    with ServiceClient(url) as client:
        audit = client.submit(model, probe, config=config.model_dump_json())
        console.print(f"[dim]{audit.id} on {url}[/]")
        try:
            with ProgressDisplay(console) as progress:
                finished = client.follow(audit.id, progress)
        except KeyboardInterrupt:
            client.cancel(audit.id)
            raise
        if finished.status != "succeeded":
            raise _failure(finished)
        return client.report(audit.id)


def _failure(audit: Audit) -> EigengateError:
    """Why an audit has no report: retriable failures are infrastructure, the others the input's own."""
    if audit.error is None:
        return InfrastructureError(f"audit {audit.id} was {audit.status}")
    temporary = audit.error.retriable or audit.error.code in ("timeout", "out_of_memory", "worker_lost", "internal")
    kind = InfrastructureError if temporary else InputError
    return kind(f"{audit.error.title}: {audit.error.detail}", hint=audit.error.hint)
