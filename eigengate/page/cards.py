"""The few numbers to look at first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from eigengate.contract import METRICS, Measurement, StabilityReport, Verdict, VerdictOutcome
from eigengate.gate import worst_first

TITLES = {
    "index.gmsi": "Stability index",
    "attribution.robustness": "Attribution robustness",
    "input_jacobian.operator_norm": "Worst-case input gain",
    "ntk.label_noise_gain": "Label noise kept",
    "hessian.lambda_max": "Sharpness",
    "model.accuracy": "Accuracy on the probe data",
}
_DIRECTIONS = {"lower_is_stabler": "lower is stabler", "higher_is_stabler": "higher is stabler", "neutral": ""}


@final
@dataclass(frozen=True)
class Card:
    """One headline number, what it means, and what the gate says of it, if it says anything."""

    title: str
    measurement: Measurement
    meaning: str
    direction: str
    effect: VerdictOutcome | None


def cards(report: StabilityReport, verdict: Verdict | None) -> tuple[Card, ...]:
    """The headline numbers that ``report`` has, in fixed order."""
    measured = {measurement.name: measurement for measurement in report.measurements}
    return tuple(_cards(measured, verdict))


def _cards(measured: dict[str, Measurement], verdict: Verdict | None) -> Iterator[Card]:
    ranked = worst_first(verdict.conditions) if verdict else []
    for name, title in TITLES.items():
        if name in measured:
            effect = next((r.effect for r in ranked if r.metric == name and r.effect), None)
            direction = _DIRECTIONS[measured[name].direction]
            yield Card(title, measured[name], METRICS[name].meaning, direction, effect)
