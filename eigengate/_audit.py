"""The whole story of an audit: prepare, certify, measure, index, report."""

import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, final

import torch

from eigengate.contract import (
    AuditConfig,
    AuditEvent,
    Certificate,
    Cost,
    Engine,
    LogEvent,
    ProgressEvent,
    ReportProblem,
    StabilityReport,
    StageCost,
    StageEvent,
)
from eigengate.diagnostics import Context, Diagnostic, Findings, load_all
from eigengate.errors import EigengateError, MemoryExhaustedError, NothingMeasuredError
from eigengate.index import stability_index
from eigengate.loading import FunctionalModel, Probe
from eigengate.loading.certificate import certify, require
from eigengate.memory_stepdown import MemoryStepdown
from eigengate.preparation import Preparation, prepare
from eigengate.reproducibility import is_deterministic, is_tf32, reproducible
from eigengate.samples import sample_records
from eigengate.versions import versions

OnEvent = Callable[[AuditEvent], None]
_LEAST_SHARE: Final = 0.25  # of the time budget, for measuring


def audit(
    model: FunctionalModel, probe: Probe, config: AuditConfig | None = None, on_event: OnEvent | None = None
) -> StabilityReport:
    """Measure how stable a network is on probe data (design section 1) and report it.

    Args:
        model: A loaded network.
        probe: The samples to measure on; labels if there are any.
        config: What to measure, and how; the defaults measure everything.
        on_event: Called with every stage and progress event, in order, on this thread.

    Raises:
        InputError: model and probe cannot be audited, the certificate failed.
        ConfigError: the configuration names what does not exist.
    """
    config = config or AuditConfig()
    stages = _Stages(on_event or (lambda event: None))
    with reproducible():
        with stages.stage("prepare"):
            prepared = prepare(model, probe, config)
        with stages.stage("certificate"):
            certificate = _certificate(prepared, config)
        stepdown = MemoryStepdown(_context(prepared, config, stages), stages.message)
        with stages.stage("plan"):
            planned = stepdown.context.plan
        found, problems = _measure(stepdown, stages)
        measurements = [measurement for findings in found for measurement in findings.measurements]
        with stages.stage("index"):
            index, index_measurements = stability_index(measurements, config.index)
            per_sample = {name: values for findings in found for name, values in findings.per_sample.items()}
            samples = sample_records(
                prepared.subject, per_sample, memory_budget_bytes=stepdown.context.memory_budget_bytes
            )
        engine = _engine(prepared, config)
    return StabilityReport(
        created_at=datetime.now(UTC),
        engine=engine,
        model=prepared.model,
        probe=prepared.probe,
        certificate=certificate,
        measurements=(*measurements, *index_measurements),
        spectra=tuple(spectrum for findings in found for spectrum in findings.spectra),
        samples=samples,
        layers=tuple(layer for findings in found for layer in findings.layers),
        attribution=next((findings.attribution for findings in found if findings.attribution), None),
        index=index,
        coverage=(
            *prepared.coverage,
            *(entry for findings in found for entry in findings.coverage),
            *stepdown.coverage,
        ),
        problems=tuple(problems),
        plan=planned.report.after(stages.spent),
        cost=stages.cost(),
    )


def _context(prepared: Preparation, config: AuditConfig, stages: "_Stages") -> Context:
    """To measure in what is left of a time budget: the certificate had to be made, however long it took."""
    budget = config.time_budget_s
    left = None if budget is None else max(budget - stages.seconds, _LEAST_SHARE * budget)
    within = config.model_copy(update={"time_budget_s": left})
    return Context(subject=prepared.subject, config=within, on_progress=stages.progress)


def _certificate(prepared: Preparation, config: AuditConfig) -> Certificate:
    """Of the file's own first-class numbers: before a softmax is cut, on the CPU, in the dtype it declares."""
    inputs = prepared.binding.inputs
    chosen = prepared.network.select(config.output.select, None, cut_softmax=False).settled(*inputs)
    generator = torch.Generator().manual_seed(config.seed)
    certificate = certify(chosen, inputs, prepared.subject.position, generator)
    require(certificate)
    return certificate


def _measure(stepdown: MemoryStepdown, stages: "_Stages") -> tuple[list[Findings], list[ReportProblem]]:
    """Run every diagnostic; one that fails is a problem in the report, not a lost audit."""
    found, problems, diagnostics = [], [], _selected(stepdown.context.config)
    for diagnostic in diagnostics:
        with stages.stage(diagnostic.name):
            try:
                found.append(stepdown.measure(diagnostic))
            except Exception as error:  # whatever one diagnostic stumbles over must not cost the others
                problems.append(_problem(diagnostic.name, error))
    _require_some(problems, sum(diagnostic.quantity is not None for diagnostic in diagnostics))
    return found, problems


def _require_some(problems: list[ReportProblem], asked: int) -> None:
    if len(problems) >= asked and all(problem.code == MemoryExhaustedError.code for problem in problems):
        raise MemoryExhaustedError(problems[0].detail, hint="try again where more memory is free")
    if len(problems) >= asked:
        raise NothingMeasuredError(
            "; ".join(f"{problem.quantity}: {problem.detail}" for problem in problems)[:1000],
            hint="the first reason is usually the only one; ask for fewer quantities to find out which can be measured",
            context={"problems": [problem.model_dump() for problem in problems]},
        )


def _selected(config: AuditConfig) -> list[Diagnostic]:
    """The diagnostics asked for and those that always run, in the order of the configuration."""
    wanted = [d for d in load_all() if d.quantity is None or d.quantity in config.quantities]
    return sorted(wanted, key=lambda d: -1 if d.quantity is None else config.quantities.index(d.quantity))


def _problem(quantity: str, error: Exception) -> ReportProblem:
    if isinstance(error, EigengateError):
        return ReportProblem(code=error.code, title=error.title, detail=error.detail, quantity=quantity)
    lacking = any(phrase in str(error) for phrase in ("derivative for", "not implemented", "forward AD"))
    return ReportProblem(
        code="not_differentiable" if lacking else "measurement_failed",
        title="A derivative does not exist" if lacking else "A measurement failed",
        detail=str(error).splitlines()[0][:500] if str(error) else type(error).__name__,
        quantity=quantity,
    )


def _engine(prepared: Preparation, config: AuditConfig) -> Engine:
    x = prepared.subject.x
    return Engine(
        versions=versions(),
        device=torch.cuda.get_device_name(x.device) if x.is_cuda else f"cpu ({platform.machine()})",
        dtype=config.precision,
        seed=config.seed,
        threads=torch.get_num_threads(),
        deterministic=is_deterministic(),
        tf32=is_tf32(),
    )


@final
class _Stages:
    """Tells the listener where we are, and keeps the clock."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._started = time.perf_counter()
        self.spent: dict[str, float] = {}
        self._current = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._current = name
        self._on_event(StageEvent(stage=name))
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = time.perf_counter() - began

    def progress(self, work: str, done: int, total: int) -> None:
        """Steps of the current stage; what the work is called inside does not concern the listener."""
        self._on_event(ProgressEvent(stage=self._current, done=done, total=total))

    @property
    def seconds(self) -> float:
        """Since the audit began."""
        return time.perf_counter() - self._started

    def message(self, text: str) -> None:
        """Something that a person who watches should know."""
        self._on_event(LogEvent(message=text[:2000]))

    def cost(self) -> Cost:
        # Linux counts kibibytes, macOS bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        return Cost(
            seconds=self.seconds,
            stages=tuple(StageCost(name=name, seconds=seconds) for name, seconds in self.spent.items()),
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        )
