"""Realistic stability reports without measuring anything: a small digits classifier, made of plain arithmetic."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from eigengate.contract import (
    METRICS,
    AttributionCurve,
    AttributionReport,
    AttributionSample,
    Certificate,
    CertificateCheck,
    Cost,
    Coverage,
    Engine,
    ErrorBars,
    IndexComponent,
    IndexReport,
    IndexVariant,
    InputInfo,
    Interval,
    Measurement,
    ModelInfo,
    OutputInfo,
    ParameterInfo,
    ProbeInfo,
    ReportProblem,
    SampleRecord,
    Spectrum,
    StabilityReport,
    StageCost,
    Summary,
)

METHODS = ("saliency", "integrated_gradients", "smoothgrad")
NOISE_SIZES = (0.01, 0.02, 0.05, 0.1, 0.2)
PER_SAMPLE = ("input_jacobian.", "parameter_jacobian.", "attribution.", "index.forward", "index.parameter")
VALUES = {
    "input_jacobian.operator_norm": 4.2,
    "input_jacobian.frobenius_norm": 5.9,
    "input_jacobian.stable_rank": 1.97,
    "input_jacobian.spectral_entropy": 1.31,
    "input_jacobian.effective_rank": 3.71,
    "input_jacobian.amplitude_entropy": 1.86,
    "input_jacobian.condition_number": 38.0,
    "input_jacobian.typical_gain": 0.74,
    "input_jacobian.entropy_gain": 1.01,
    "parameter_jacobian.operator_norm": 21.0,
    "parameter_jacobian.frobenius_norm": 44.0,
    "parameter_jacobian.relative_operator_norm": 31.0,
    "ntk.operator_norm": 18400.0,
    "ntk.trace": 46500.0,
    "ntk.condition_number": 2.6e5,
    "ntk.dominance": 9.5,
    "ntk.label_noise_gain": 0.21,
    "ntk.target_alignment": 0.62,
    "gauss_newton.lambda_max": 3.4,
    "gauss_newton.trace": 11.2,
    "hessian.lambda_max": 3.6,
    "hessian.lambda_min": -0.31,
    "hessian.trace": 11.0,
    "hessian.negative_mass": 0.08,
    "hessian.max_stable_step": 0.556,
    "index.gmsi": 1.12,
    "index.gmsi_typical": 0.24,
    "index.forward": 0.83,
    "index.parameter": 1.21,
    "index.training": 0.98,
    "index.curvature": 1.46,
    "attribution.robustness": 0.83,
    "model.accuracy": 0.958,
    "model.loss": 0.137,
    "probe.input_spread": 3.62,
} | {
    f"attribution.{method}.{name}": value
    for method in METHODS
    for name, value in (
        ("cosine", 0.83),
        ("spearman", 0.79),
        ("top_k_overlap", 0.71),
        ("relative_l2", 0.55),
        ("flip_rate", 0.03),
    )
}
APPROXIMATE = ("hessian.", "input_jacobian.condition_number")


def make_report(
    *,
    seed: int = 0,
    n: int = 24,
    image: tuple[int, ...] = (1, 8, 8),
    with_attribution: bool = True,
    **replaced: Any,
) -> StabilityReport:
    """A complete report; ``replaced`` are fields of ``StabilityReport`` to be taken as given."""
    rng = random.Random(seed)
    fields: dict[str, Any] = {
        "created_at": datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        "engine": Engine(
            versions={"eigengate": "0.1.0", "torch": "2.13.0"}, device="cpu", dtype="float32", seed=0, threads=1
        ),
        "model": make_model(),
        "probe": ProbeInfo(sha256="b" * 64, n=max(n, 64), used=n, shape=image, labels="given"),
        "certificate": make_certificate(),
        "measurements": tuple(make_measurement(name, value, samples=n) for name, value in VALUES.items()),
        "spectra": _spectra(rng, n),
        "samples": tuple(_sample(rng, index) for index in range(n)),
        "attribution": _attribution(rng, image) if with_attribution else None,
        "index": _index(),
        "coverage": (
            Coverage(subject="parameters", analysed=True, note="8 tensors, 6,090 values"),
            Coverage(subject="fc.running_mean", analysed=False, note="running statistics are not trained"),
        ),
        "problems": (
            ReportProblem(
                code="not_converged",
                title="Lanczos stopped early",
                detail="3 of 40 Ritz pairs did not converge",
                quantity="hessian",
            ),
        ),
        "cost": Cost(
            seconds=7.4,
            stages=tuple(
                StageCost(name=name, seconds=s) for name, s in (("load", 0.9), ("sweep", 2.1), ("hessian", 4.4))
            ),
            peak_memory_bytes=412_000_000,
        ),
    }
    return StabilityReport(**{**fields, **replaced})


def make_measurement(
    name: str,
    value: float | None,
    *,
    samples: int = 24,
    numerical: tuple[float, float] | None = None,
    sampling: tuple[float, float] | None = None,
    **fields: Any,
) -> Measurement:
    """A measurement with the direction of the catalogue; per-sample ones get a summary around ``value``."""
    exact = not name.startswith(APPROXIMATE)
    if value is not None and numerical is None:
        width = 0.0 if exact else 0.01 * abs(value)
        numerical = (value - width, value + width)
    summary = None
    if value is not None and name.startswith(PER_SAMPLE):
        spread = 0.2 * abs(value) + 1e-3
        summary = Summary(
            mean=value,
            std=spread,
            min=value - 2 * spread,
            p05=value - 1.6 * spread,
            median=value,
            p95=value + 1.6 * spread,
            max=value + 2 * spread,
            n=samples,
        )
        sampling = sampling or (value - spread / 2, value + spread / 2)
    defaults: dict[str, Any] = {
        "direction": METRICS[name].direction if name in METRICS else "neutral",
        "method": "exact" if exact else "lanczos",
        "exact": exact,
        "summary": summary,
    }
    error = ErrorBars(
        numerical=Interval(low=numerical[0], high=numerical[1]) if numerical else None,
        sampling=Interval(low=sampling[0], high=sampling[1]) if sampling else None,
    )
    return Measurement(name=name, value=value, error=error, **{**defaults, **fields})


def with_measurement(report: StabilityReport, name: str, value: float | None, **fields: Any) -> StabilityReport:
    """``report`` with one measurement replaced or added."""
    others = tuple(m for m in report.measurements if m.name != name)
    fields.setdefault("samples", report.probe.used)
    return report.model_copy(update={"measurements": (*others, make_measurement(name, value, **fields))})


def without_measurement(report: StabilityReport, name: str) -> StabilityReport:
    """``report`` as if ``name`` had not been measured."""
    return report.model_copy(update={"measurements": tuple(m for m in report.measurements if m.name != name)})


def make_model(*, format: str = "torchscript", digest: str = "c" * 64, operators: Sequence[str] = ()) -> ModelInfo:
    return ModelInfo(
        format=format,
        sha256="a" * 64,
        inputs=(InputInfo(name="x", dtype="float32", shape=(None, 1, 8, 8)),),
        output=OutputInfo(name="logits", kind="logits", classes=10),
        parameters=ParameterInfo(tensors=8, count=6090, digest=digest),
        operators=tuple(operators) or ("aten::conv2d", "aten::linear", "aten::relu"),
    )


def make_certificate(*, passed: bool = True) -> Certificate:
    return Certificate(
        passed=passed,
        runtime="torchscript 2.13.0",
        checks=(
            CertificateCheck(name="forward_parity", passed=passed, error=2.4e-7, tolerance=1e-4),
            CertificateCheck(name="directional_derivative", passed=True, error=3.1e-4, tolerance=1e-2),
            CertificateCheck(name="adjoint", passed=True, error=4.4e-8, tolerance=1e-5),
            CertificateCheck(name="hessian_symmetry", passed=True, error=None, tolerance=None, detail="not requested"),
        ),
    )


def _spectra(rng: random.Random, samples: int) -> tuple[Spectrum, ...]:
    jacobians = tuple(
        Spectrum(
            name="input_jacobian",
            kind="singular_values",
            values=tuple(sorted((4.2 * rng.uniform(0.8, 1.25) * math.exp(-0.45 * k) for k in range(10)), reverse=True)),
            complete=True,
            sample=index,
        )
        for index in range(samples)
    )
    kernel = tuple(18400.0 * math.exp(-0.5 * k) for k in range(samples))
    ends = (3.6, 2.1, 1.4, 0.8, 0.45, 0.2, 0.06, -0.02, -0.12, -0.31)
    return (
        *jacobians,
        Spectrum(name="ntk", kind="eigenvalues", values=kernel, complete=True),
        Spectrum(name="gauss_newton", kind="eigenvalues", values=tuple(3.4 * 0.7**k for k in range(40)), complete=True),
        Spectrum(name="hessian", kind="eigenvalues", values=ends, complete=False, outcome="not_converged"),
    )


def _sample(rng: random.Random, index: int) -> SampleRecord:
    label = rng.randrange(10)
    predicted = label if rng.random() < 0.9 else (label + 1) % 10
    return SampleRecord(
        index=index,
        label=label,
        predicted=predicted,
        loss=rng.expovariate(8.0),
        values={
            "input_jacobian.operator_norm": rng.uniform(2.5, 6.5),
            "parameter_jacobian.operator_norm": rng.uniform(14.0, 29.0),
            "attribution.saliency.cosine": rng.uniform(0.55, 0.97),
        },
    )


def _attribution(rng: random.Random, image: tuple[int, ...]) -> AttributionReport:
    size = math.prod(image)
    side = image[-1]

    def picture(noise: float) -> tuple[float, ...]:
        centre = (side - 1) / 2
        return tuple(
            math.exp(-((k % side - centre) ** 2 + (k // side % image[-2] - centre) ** 2) / side) + rng.gauss(0, noise)
            for k in range(size)
        )

    curves = tuple(
        AttributionCurve(
            method=method,
            noise_sizes=NOISE_SIZES,
            cosine=tuple(math.exp(-rate * size) for size in NOISE_SIZES),
            cosine_low=tuple(math.exp(-1.3 * rate * size) for size in NOISE_SIZES),
            cosine_high=tuple(math.exp(-0.7 * rate * size) for size in NOISE_SIZES),
            spearman=tuple(0.95 * math.exp(-rate * size) for size in NOISE_SIZES),
            top_k_overlap=tuple(0.9 * math.exp(-rate * size) for size in NOISE_SIZES),
            relative_l2=tuple(1.4 * rate * size for size in NOISE_SIZES),
            flip_rate=tuple(0.3 * size for size in NOISE_SIZES),
        )
        for method, rate in zip(METHODS, (3.2, 1.6, 0.9), strict=True)
    )
    samples = tuple(
        AttributionSample(
            index=index,
            method="saliency",
            noise_size=0.2,
            cosine=0.41 + 0.1 * index,
            shape=image,
            clean_input=picture(0.05),
            noisy_input=picture(0.2),
            clean_map=tuple(v - 0.3 for v in picture(0.1)),
            noisy_map=tuple(v - 0.3 for v in picture(0.3)),
        )
        for index in range(4)
    )
    return AttributionReport(curves=curves, samples=samples)


def _index() -> IndexReport:
    names = ("forward", "parameter", "training", "curvature")
    headline = tuple(IndexComponent(name=n, value=VALUES[f"index.{n}"], weight=1.0) for n in names)
    typical = (
        *(IndexComponent(name=n, value=VALUES[f"index.{n}"] - 0.9, weight=1.0) for n in names[:3]),
        IndexComponent(name="curvature", value=None, weight=1.0, reason="the trace of the Hessian is not positive"),
    )
    return IndexReport(
        variants=(
            IndexVariant(name="gmsi-1", value=1.12, outcome="ok", components=headline),
            IndexVariant(name="gmsi-1-typical", value=None, outcome="not_applicable", components=typical),
        )
    )
