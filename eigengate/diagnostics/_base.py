"""What a diagnostic is, and what it finds."""

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

from torch import Tensor

from eigengate.contract import AttributionReport, Coverage, LayerCurvature, Measurement, Outcome, Quantity, Spectrum
from eigengate.diagnostics._context import Context
from eigengate.diagnostics._metric import Metric, optional_floats


@final
@dataclass(frozen=True)
class Findings:
    """What one diagnostic adds to the report.

    ``per_sample`` maps measurement names to one value per probe sample, None where it is undefined for that sample.
    """

    measurements: tuple[Measurement, ...] = ()
    spectra: tuple[Spectrum, ...] = ()
    per_sample: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    attribution: AttributionReport | None = None
    layers: tuple[LayerCurvature, ...] = ()
    coverage: tuple[Coverage, ...] = ()

    @classmethod
    def of(
        cls,
        measurements: Iterable[Measurement],
        *,
        spectra: Iterable[Spectrum] = (),
        per_sample: Mapping[str, Tensor] | None = None,
    ) -> "Findings":
        """From per-sample tensors [n], in which NaN means undefined."""
        values = {name: optional_floats(tensor) for name, tensor in (per_sample or {}).items()}
        return cls(tuple(measurements), tuple(spectra), values)


class Diagnostic(abc.ABC):
    """One family of measurements. A subclass is final, stateless, and alone in its file.

    Attributes:
        name: Unique name; measurement names usually start with it.
        quantity: The entry of ``AuditConfig.quantities`` that asks for it; None for always.
        title: A few words for a person.
        reference: Where the definitions come from.
        metrics: Every measurement it may report. Each is always reported, null with its outcome if it must be.
    """

    name: ClassVar[str]
    quantity: ClassVar[Quantity | None]
    title: ClassVar[str]
    reference: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]

    @abc.abstractmethod
    def measure(self, context: Context) -> Findings:
        """Measure; what cannot be measured is a null with an outcome, only broken requests raise."""

    def nothing(self, outcome: Outcome, reason: str) -> Findings:
        """Every metric as a null with the same reason."""
        return Findings(tuple(metric.missing(outcome, reason) for metric in self.metrics))
