"""Eigengate: is this network stable enough to ship?

The library: load a trained network, measure the spectra of its Jacobians, tangent kernel and loss Hessian, and judge
the report. It knows no web and no queue, never prints and never reads the environment (the command line in ``cli``
aside). Importing it loads neither torch nor onnx; the names below are fetched when first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eigengate._audit import audit as audit
    from eigengate._plan import plan_audit as plan_audit
    from eigengate.contract import AuditConfig as AuditConfig
    from eigengate.contract import AuditPlan as AuditPlan
    from eigengate.contract import Policy as Policy
    from eigengate.contract import StabilityReport as StabilityReport
    from eigengate.contract import Verdict as Verdict
    from eigengate.gate import judge as judge
    from eigengate.gate import load_policy as load_policy
    from eigengate.loading import FunctionalModel as FunctionalModel
    from eigengate.loading import Probe as Probe
    from eigengate.loading import load_model as load_model
    from eigengate.loading import load_probe as load_probe

__version__ = "0.1.0"

_HOMES = {
    "audit": "eigengate._audit",
    "plan_audit": "eigengate._plan",
    "AuditConfig": "eigengate.contract",
    "AuditPlan": "eigengate.contract",
    "Policy": "eigengate.contract",
    "StabilityReport": "eigengate.contract",
    "Verdict": "eigengate.contract",
    "judge": "eigengate.gate",
    "load_policy": "eigengate.gate",
    "FunctionalModel": "eigengate.loading",
    "Probe": "eigengate.loading",
    "load_model": "eigengate.loading",
    "load_probe": "eigengate.loading",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'eigengate' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
