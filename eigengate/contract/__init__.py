"""The shapes that cross a boundary: configuration, measurements, report, policy, verdict, audit, events, problems.

Everything here is frozen pydantic that refuses unknown keys and non-finite numbers. It imports nothing but pydantic and
the standard library, so the service, the gate and any client can use it without torch. No behaviour beyond reading
one's own fields lives here, and no other package declares these shapes again.
"""

from eigengate.contract.attribution import AttributionCurve, AttributionReport, AttributionSample
from eigengate.contract.audit import (
    TERMINAL_STATUSES,
    ArtifactInfo,
    Audit,
    AuditError,
    AuditLinks,
    AuditPage,
    AuditRequest,
    AuditStatus,
    ModelFormat,
    Progress,
)
from eigengate.contract.certificate import Certificate, CertificateCheck, Divergence
from eigengate.contract.config import (
    AttributionConfig,
    AuditConfig,
    HessianConfig,
    IndexConfig,
    OutputConfig,
    ParameterConfig,
    Quantity,
)
from eigengate.contract.events import AuditEvent, EventLog, FinishedEvent, LogEvent, ProgressEvent, StageEvent
from eigengate.contract.index import IndexComponent, IndexReport, IndexVariant
from eigengate.contract.layer import LayerCurvature
from eigengate.contract.measurement import (
    Direction,
    ErrorBars,
    Interval,
    Measurement,
    Outcome,
    Summary,
)
from eigengate.contract.metrics import METRICS, Metric
from eigengate.contract.plan import AuditPlan, PlannedStep
from eigengate.contract.policy import BaselineRule, BaselineSource, Condition, Level, Policy, Waiver
from eigengate.contract.problem import Problem
from eigengate.contract.report import (
    Cost,
    Coverage,
    EmbeddingInfo,
    Engine,
    InputInfo,
    ModelInfo,
    OutputInfo,
    ParameterInfo,
    ProbeInfo,
    ReportProblem,
    SampleRecord,
    Spectrum,
    StabilityReport,
    StageCost,
)
from eigengate.contract.verdict import ConditionResult, ConditionStatus, Verdict, VerdictOutcome

__all__ = [
    "METRICS",
    "TERMINAL_STATUSES",
    "ArtifactInfo",
    "AttributionConfig",
    "AttributionCurve",
    "AttributionReport",
    "AttributionSample",
    "Audit",
    "AuditConfig",
    "AuditError",
    "AuditEvent",
    "AuditLinks",
    "AuditPage",
    "AuditPlan",
    "AuditRequest",
    "AuditStatus",
    "BaselineRule",
    "BaselineSource",
    "Certificate",
    "CertificateCheck",
    "Condition",
    "ConditionResult",
    "ConditionStatus",
    "Cost",
    "Coverage",
    "Direction",
    "Divergence",
    "EmbeddingInfo",
    "Engine",
    "ErrorBars",
    "EventLog",
    "FinishedEvent",
    "HessianConfig",
    "IndexComponent",
    "IndexConfig",
    "IndexReport",
    "IndexVariant",
    "InputInfo",
    "Interval",
    "LayerCurvature",
    "Level",
    "LogEvent",
    "Measurement",
    "Metric",
    "ModelFormat",
    "ModelInfo",
    "Outcome",
    "OutputConfig",
    "OutputInfo",
    "ParameterConfig",
    "ParameterInfo",
    "PlannedStep",
    "Policy",
    "ProbeInfo",
    "Problem",
    "Progress",
    "ProgressEvent",
    "Quantity",
    "ReportProblem",
    "SampleRecord",
    "Spectrum",
    "StabilityReport",
    "StageCost",
    "StageEvent",
    "Summary",
    "Verdict",
    "VerdictOutcome",
    "Waiver",
]
