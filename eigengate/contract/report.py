"""The stability report: everything an audit found out, versioned, immutable, judged later by policies."""

from datetime import datetime
from typing import Annotated, Literal, final

from pydantic import Field

from eigengate.contract.attribution import AttributionReport
from eigengate.contract.base import Contract, Items
from eigengate.contract.certificate import Certificate
from eigengate.contract.index import IndexReport
from eigengate.contract.layer import LayerCurvature
from eigengate.contract.measurement import Measurement, Outcome
from eigengate.contract.plan import AuditPlan

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@final
class Engine(Contract):
    """What measured.

    ``deterministic`` says whether kernels that give the same digits every time were asked for, ``tf32`` whether
    products of float32 numbers may have been made of shorter ones; null in reports that do not say.
    """

    versions: dict[str, str]
    device: str
    dtype: str
    seed: int
    threads: int
    deterministic: bool | None = None
    tf32: bool | None = None


@final
class InputInfo(Contract):
    """One model input; null stands for a size that may vary."""

    name: str
    dtype: str
    shape: Items[int | None] | None


@final
class OutputInfo(Contract):
    """The analysed output: what its numbers are, and how many."""

    name: str
    kind: Literal["logits", "probabilities", "regression"]
    classes: int
    softmax_cut: bool = False


@final
class ParameterInfo(Contract):
    """The parametrisation that parameter-space quantities refer to; ``digest`` is over names and shapes."""

    tensors: int
    count: int
    excluded: Items[str] = ()
    digest: Digest


@final
class EmbeddingInfo(Contract):
    """The embedding whose output, of ``shape`` for one sample, is differentiated in place of whole numbers."""

    weight: str
    input: str
    shape: Items[int]


@final
class ModelInfo(Contract):
    """The audited network; ``embedding`` is given where none of its inputs is floating point."""

    format: Literal["torchscript", "onnx", "pt2"]
    sha256: Digest
    inputs: Items[InputInfo]
    output: OutputInfo
    parameters: ParameterInfo
    operators: Items[str]
    notes: Items[str] = ()
    embedding: EmbeddingInfo | None = None


@final
class ProbeInfo(Contract):
    """The probe data; ``shape`` is that of one sample's differentiable input, ``used`` of ``n`` samples were taken."""

    sha256: Digest
    n: int
    used: int
    shape: Items[int]
    labels: Literal["given", "predicted"]


@final
class Spectrum(Contract):
    """Singular values or eigenvalues, descending; of one probe sample where ``sample`` is given."""

    name: str
    kind: Literal["singular_values", "eigenvalues"]
    values: Items[float]
    complete: bool
    sample: int | None = None
    outcome: Outcome = "ok"


@final
class SampleRecord(Contract):
    """One probe sample: its label, prediction, and its value of every per-sample measurement, by name."""

    index: int
    label: int | None
    predicted: int | None
    loss: float | None
    values: dict[str, float | None]


@final
class Coverage(Contract):
    """What was, or was not, analysed, and why."""

    subject: str
    analysed: bool
    note: str


@final
class ReportProblem(Contract):
    """A part of the audit that failed while the rest went on."""

    code: str
    title: str
    detail: str
    quantity: str | None = None


@final
class StageCost(Contract):
    """Wall-clock seconds of one stage."""

    name: str
    seconds: float


@final
class Cost(Contract):
    """What the audit cost."""

    seconds: float
    stages: Items[StageCost] = ()
    peak_memory_bytes: int | None = None


@final
class StabilityReport(Contract):
    """Everything an audit found out about one network on one probe set (design section 3.4)."""

    schema_version: Literal["1.0"] = "1.0"
    created_at: Annotated[datetime, Field(strict=False)]
    engine: Engine
    model: ModelInfo
    probe: ProbeInfo
    certificate: Certificate
    measurements: Items[Measurement]
    spectra: Items[Spectrum] = ()
    samples: Items[SampleRecord] = ()
    layers: Items[LayerCurvature] = ()
    attribution: AttributionReport | None = None
    index: IndexReport = IndexReport()
    coverage: Items[Coverage] = ()
    problems: Items[ReportProblem] = ()
    plan: AuditPlan | None = None
    cost: Cost

    def measurement(self, name: str) -> Measurement:
        """The measurement of that name; ``KeyError`` names the nearest ones if there is none."""
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        operator = name.split(".", 1)[0]
        near = [m.name for m in self.measurements if m.name.startswith(operator)]
        raise KeyError(f"the report has no measurement {name!r}; under {operator!r} it has {near}")

    def value(self, name: str, statistic: str = "value") -> float | None:
        """A measurement's ``value``, or a statistic of its ``summary``: mean, std, min, p05, median, p95, max."""
        measurement = self.measurement(name)
        if statistic == "value":
            return measurement.value
        if statistic not in ("mean", "std", "min", "p05", "median", "p95", "max"):
            raise KeyError(f"unknown statistic {statistic!r}; use value, mean, std, min, p05, median, p95 or max")
        if measurement.summary is None:
            return measurement.value if statistic == "mean" else None
        return float(getattr(measurement.summary, statistic))
