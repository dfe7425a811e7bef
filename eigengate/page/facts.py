"""What the numbers belong to: model, probe data and engine; and how to make them again."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import StabilityReport

MOST_NAMES = 60


@final
@dataclass(frozen=True)
class FactGroup:
    """A heading and its (label, value) pairs."""

    title: str
    facts: tuple[tuple[str, str], ...]


def fact_groups(report: StabilityReport) -> tuple[FactGroup, ...]:
    """Model, probe data, engine."""
    return _model(report), _probe(report), _engine(report)


def reproduction(report: StabilityReport) -> str:
    """The commands that measure the same again."""
    settings = "\n".join(
        (f"seed = {report.engine.seed}", f'precision = "{report.engine.dtype}"', f"max_samples = {report.probe.used}")
    )
    settings += "\n[hessian]\nper_layer = true" if report.layers else ""
    return (
        f"# model  sha256 {report.model.sha256}\n# probe  sha256 {report.probe.sha256}\n"
        f"cat > audit.toml <<'END'\n{settings}\nEND\n"
        "eigengate audit MODEL PROBE --config audit.toml --output report.json --html report.html"
    )


def _model(report: StabilityReport) -> FactGroup:
    model, parameters = report.model, report.model.parameters
    inputs = ", ".join(f"{i.name}: {i.dtype} {_shape(i.shape)}" for i in model.inputs)
    output = f"{model.output.name}: {model.output.classes} {model.output.kind}"
    return FactGroup(
        "Model",
        (
            ("Format", model.format),
            ("SHA-256", model.sha256),
            ("Inputs", inputs),
            ("Output", output + (", in front of the closing softmax" if model.output.softmax_cut else "")),
            ("Parameters", f"{parameters.count:,} in {parameters.tensors} tensors"),
            ("Left out", _names(parameters.excluded) or "nothing"),
            ("Parametrisation", parameters.digest[:16]),
            ("Operators", _names(model.operators)),
            *(("Note", note) for note in model.notes),
        ),
    )


def _probe(report: StabilityReport) -> FactGroup:
    probe = report.probe
    labels = "given with the data" if probe.labels == "given" else "none given: the model's own predictions"
    return FactGroup(
        "Probe data",
        (
            ("SHA-256", probe.sha256),
            ("Samples", f"{probe.used} used of {probe.n}"),
            ("Shape of a sample", _shape(probe.shape)),
            ("Labels", labels),
        ),
    )


def _engine(report: StabilityReport) -> FactGroup:
    engine, cost = report.engine, report.cost
    memory = f"{cost.peak_memory_bytes / 2**20:,.0f} MiB" if cost.peak_memory_bytes else "not measured"
    return FactGroup(
        "Engine",
        (
            ("Device", engine.device),
            ("Precision", engine.dtype),
            ("Seed", str(engine.seed)),
            ("Threads", str(engine.threads)),
            ("Deterministic kernels", _answer(engine.deterministic)),
            ("Shortened products (TF32)", _answer(engine.tf32)),
            ("Versions", ", ".join(f"{name} {version}" for name, version in engine.versions.items())),
            ("Peak memory", memory),
            ("Time", f"{cost.seconds:.1f} s"),
        ),
    )


def _answer(value: bool | None) -> str:
    return "not recorded" if value is None else "yes" if value else "no"


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "any shape" if shape is None else "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
