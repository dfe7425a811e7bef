"""An audit in this very process, with progress in the terminal."""

import os
import threading
from pathlib import Path

from rich.console import Console

from eigengate.cli.exit_codes import ExitCode
from eigengate.cli.progress import ProgressDisplay
from eigengate.contract import AuditConfig, AuditPlan, StabilityReport, StageEvent


def audit_here(model: Path, probe: Path, config: AuditConfig, console: Console) -> StabilityReport:
    """Load, audit and report; a hard ``time_limit_s`` ends the process with exit code 4.

    The models come from the caller's own disk, so there is no jail here; the service is for models from strangers.
    """
    import eigengate

    # Without a fixed workspace cuBLAS may sum in another order the next time; it reads this once, before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    watchdog = _watchdog(config.time_limit_s, console)
    with ProgressDisplay(console) as progress:
        progress(StageEvent(stage="load"))
        functional = eigengate.load_model(model)
        samples = eigengate.load_probe(probe)
        report = eigengate.audit(functional, samples, config, on_event=progress)
    if watchdog is not None:
        watchdog.cancel()
    return report


def plan_here(model: Path, probe: Path, config: AuditConfig) -> AuditPlan:
    """Load and plan; a few passes are timed, nothing is measured."""
    import eigengate

    return eigengate.plan_audit(eigengate.load_model(model), eigengate.load_probe(probe), config)


def _watchdog(limit_s: float | None, console: Console) -> threading.Timer | None:
    """A model may loop for ever inside native code, where no exception reaches; only leaving the process helps."""
    if limit_s is None:
        return None

    def leave() -> None:
        console.print(f"\n[bold red]The audit ran into its time limit[/] of {limit_s:g} s (time_limit_s).")
        os._exit(ExitCode.INFRASTRUCTURE)

    timer = threading.Timer(limit_s, leave)
    timer.daemon = True
    timer.start()
    return timer
