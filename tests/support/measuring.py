"""Measuring a subject without an audit around it."""

from eigengate.contract import AuditConfig, Measurement
from eigengate.diagnostics import Context, Diagnostic, load_all
from eigengate.index import stability_index
from tests.support.subjects import Subject

SPECTRAL = ("input_jacobian", "parameter_jacobian", "ntk", "gauss_newton", "hessian")


def spectral_diagnostics() -> tuple[Diagnostic, ...]:
    """All but attribution, which has tests of its own."""
    return tuple(d for d in load_all() if d.quantity != "attribution")


def measured(subject: Subject, config: AuditConfig | None = None) -> dict[str, Measurement]:
    """Every spectral measurement and the index, by name."""
    config = config or AuditConfig(quantities=SPECTRAL)
    context = Context(subject=subject, config=config)
    wanted = [d for d in spectral_diagnostics() if d.quantity is None or d.quantity in config.quantities]
    found = [m for d in wanted for m in d.measure(context).measurements]
    return {m.name: m for m in (*found, *stability_index(found, config.index)[1])}


def values(subject: Subject, config: AuditConfig | None = None) -> dict[str, float | None]:
    return {name: measurement.value for name, measurement in measured(subject, config).items()}
