"""What an audit would do, and what it would cost, without doing it."""

from eigengate.contract import AuditConfig, AuditPlan
from eigengate.loading import FunctionalModel, Probe
from eigengate.planning import Workload, measured_throughput, plan
from eigengate.preparation import prepare


def plan_audit(model: FunctionalModel, probe: Probe, config: AuditConfig | None = None) -> AuditPlan:
    """The routes, operations, memory and seconds of every quantity on this machine, whose speed is measured.

    Args:
        model: A loaded network.
        probe: The samples to measure on.
        config: What to measure, and within which budget.

    Raises:
        InputError: model and probe cannot be audited.
        ConfigError: the configuration names what does not exist.
    """
    config = config or AuditConfig()
    subject = prepare(model, probe, config).subject
    workload = Workload.of(subject)
    return plan(workload, config, measured_throughput(subject, workload)).report
