"""Examples for the OpenAPI document, made of the contract's own shapes so that none can be wrong."""

from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from eigengate.contract import (
    ArtifactInfo,
    Audit,
    AuditConfig,
    AuditEvent,
    AuditPage,
    AuditStatus,
    Certificate,
    ConditionResult,
    Cost,
    Engine,
    ErrorBars,
    EventLog,
    FinishedEvent,
    InputInfo,
    Interval,
    Measurement,
    ModelInfo,
    OutputInfo,
    ParameterInfo,
    ProbeInfo,
    Progress,
    ProgressEvent,
    StabilityReport,
    StageEvent,
    Verdict,
    VerdictOutcome,
)
from service.audits.records import links
from service.health.shapes import Formats, Info, Limits

_ID = "aud_5f0c2a7be1d94c3fa86b1d20e47c9a53"
_MODEL = ArtifactInfo(sha256="9f2c" * 16, size=48_230_114, format="onnx")
_PROBE = ArtifactInfo(sha256="41d7" * 16, size=786_944, format="npz")


def _audit(status: AuditStatus, *, verdict: VerdictOutcome | None = None, **seen: Any) -> dict[str, Any]:
    audit = Audit(
        id=_ID,
        status=status,
        verdict=verdict,
        created_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        model=_MODEL,
        probe=_PROBE,
        config=AuditConfig(),
        labels={"branch": "main"},
        links=links(_ID),
        **seen,
    )
    shown: dict[str, Any] = audit.model_dump(mode="json")
    return shown


_STARTED: dict[str, Any] = {"started_at": datetime(2026, 11, 23, 9, 30, 1, tzinfo=UTC), "attempt": 1}
_ENDED: dict[str, Any] = {**_STARTED, "finished_at": datetime(2026, 11, 23, 9, 30, 14, tzinfo=UTC)}
_EVENT_LIST: tuple[AuditEvent, ...] = (
    StageEvent(stage="load"),
    ProgressEvent(stage="sweep", done=3, total=10),
    FinishedEvent(status="succeeded", verdict="pass"),
)

QUEUED = _audit("queued")
CANCELLING = _audit("cancelling", stage="sweep", progress=Progress(stage="sweep", done=3, total=10), **_STARTED)
CANCELLED = _audit("cancelled", **_ENDED)
SUCCEEDED = _audit("succeeded", verdict="pass", stage="report", **_ENDED)
PAGE = AuditPage(data=(Audit.model_validate(SUCCEEDED),)).model_dump(mode="json")
EVENTS = EventLog(events=_EVENT_LIST).model_dump(mode="json")
EVENT_STREAM = "event: stage\nid: 1\ndata: " + _EVENT_LIST[0].model_dump_json() + "\n\n"
ARTIFACT = _MODEL.model_dump(mode="json")
REQUEST = {"model": _MODEL.sha256, "probe": _PROBE.sha256, "config": {"seed": 1}, "policy": "builtin:recommended"}
POLICY_TOML = """\
[[condition]]
id = "sharpness"
metric = "hessian.lambda_max"
op = "<="
threshold = 50
"""

HEALTH = {"status": "ok"}
REPORT = StabilityReport(
    created_at=_ENDED["finished_at"],
    engine=Engine(versions={"eigengate": "0.1.0"}, device="cpu", dtype="float32", seed=0, threads=2),
    model=ModelInfo(
        format="onnx",
        sha256=_MODEL.sha256,
        inputs=(InputInfo(name="x", dtype="float32", shape=(None, 3, 32, 32)),),
        output=OutputInfo(name="logits", kind="logits", classes=10),
        parameters=ParameterInfo(tensors=62, count=11_173_962, digest="07ab" * 16),
        operators=("Conv", "Gemm", "Relu"),
    ),
    probe=ProbeInfo(sha256=_PROBE.sha256, n=64, used=64, shape=(3, 32, 32), labels="given"),
    certificate=Certificate(passed=True, runtime="onnxruntime", checks=()),
    measurements=(
        Measurement(
            name="hessian.lambda_max",
            value=23.4,
            unit="loss",
            direction="lower_is_stabler",
            outcome="ok",
            method="block Lanczos",
            exact=False,
            error=ErrorBars(numerical=Interval(low=23.3, high=23.5, level=0.99)),
        ),
    ),
    cost=Cost(seconds=12.8),
).model_dump(mode="json")
VERDICT = Verdict(
    outcome="pass",
    mode="enforce",
    conditions=(
        ConditionResult(
            id="sharpness",
            metric="hessian.lambda_max",
            status="pass",
            effect="pass",
            level="error",
            expected="<= 50",
            actual=23.4,
            message="23.4 is at most 50",
        ),
    ),
    summary="1 of 1 conditions hold.",
    report_sha256="c3d1" * 16,
    policy_sha256="7be0" * 16,
    judged_on=date(2026, 11, 23),
).model_dump(mode="json")
INFO = Info(
    versions={"eigengate": "0.1.0", "python": "3.11.9"},
    limits=Limits(
        max_upload_bytes=2**29,
        max_request_text_bytes=2**20,
        max_wait_s=60,
        max_queued=1000,
        time_limit_s=600,
        memory_limit_bytes=2**33,
        max_attempts=2,
    ),
    formats=Formats(model=("torchscript", "onnx", "pt2"), probe=("npz", "npy", "safetensors"), report=("json", "html")),
    quantities=("input_jacobian", "ntk", "hessian"),
    policy_presets=("builtin:recommended", "builtin:strict"),
).model_dump(mode="json")

# One code of those that share a status.
PROBLEMS = MappingProxyType(
    {
        400: ("malformed_request", "The request cannot be read", "the body is not JSON"),
        404: ("not_found", "There is no such audit", f"there is no audit '{_ID}'"),
        406: ("not_acceptable", "There is no such representation", "a report does not come as image/png"),
        409: ("audit_not_finished", "The audit is not finished", "the audit is running"),
        413: ("upload_too_large", "The upload is too large", "the file has more than 536870912 bytes"),
        415: ("unsupported_media_type", "The request's content type is not supported", "not as text/csv"),
        422: ("invalid_config", "The audit configuration is invalid", "sed: unknown key 'sed'; did you mean 'seed'?"),
        500: ("internal", "Something went wrong inside Eigengate", "The fault is ours and was logged."),
        503: ("unavailable", "The service is temporarily unavailable", "The database does not answer."),
        507: ("storage_full", "The service's storage is full", "the disk is full"),
    }
)
