"""The Global Matrix Stability Index from measurements: no torch, no network, so a stored report can be re-weighted.

The formula of the paper that named the index is not available to us; these variants are our own, named and versioned.
Every variant is Σ w_k s_k (÷ Σ w_k, for the logarithmic ones) over four components; larger = less stable.

    gmsi-1          s_k = index.forward, index.parameter, index.training, index.curvature: log10 of dimensionless gains,
                    so that the index is the log of a weighted geometric mean and +1 means ten times less stable
    gmsi-1-typical  the same with root-mean-square gains in place of operator norms
    gmsi-raw        mean σ_1(J_i), mean ‖G_i‖_F, λ_max(K)/n, λ_max(H): unnormalised, weights not divided out

What a change of the model that keeps its predictions does to the components of gmsi-1 and gmsi-1-typical:

    change                                          forward  parameter  training  curvature
    inputs scaled by a, first layer by 1/a          same     same       same      same
    logits scaled by a (last layer by a)            same     same       same      same for squared error with targets
                                                                                  scaled by a; with cross-entropy the
                                                                                  loss is another function of the
                                                                                  logits, and no invariance holds
    neurons permuted                                same     same       same      same
    ReLU layer by a > 0, the next by 1/a            same     same       same      same
    probe set split into other batches              same     same       same      same

"Inputs scaled" changes the data and the model together. The typical forward gain keeps its value in each case too, as d
does not change. gmsi-raw keeps its value only when neurons are permuted or batches split.

Errors: each component's intervals are scaled by its weight and added end by end. That is never too narrow, whatever the
correlation of the components, which all come from the same probe set. One component without an interval leaves the
index without it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from eigengate.contract import (
    ErrorBars,
    IndexComponent,
    IndexConfig,
    IndexReport,
    IndexVariant,
    Interval,
    Measurement,
    Outcome,
)

COMPONENTS: Final = ("forward", "parameter", "training", "curvature")
_SAMPLES: Final = "probe.samples"


@final
@dataclass(frozen=True)
class Definition:
    """One variant: where each component is read, and whether the weights are divided out."""

    name: str
    measurement: str
    title: str
    unit: str
    reads: Mapping[str, str]
    mean: bool


DEFINITIONS: Final = (
    Definition("gmsi-1", "index.gmsi", "Stability index", "log10", {k: f"index.{k}" for k in COMPONENTS}, mean=True),
    Definition(
        "gmsi-1-typical",
        "index.gmsi_typical",
        "Stability index of typical gains",
        "log10",
        {k: f"index.{k}_typical" for k in COMPONENTS},
        mean=True,
    ),
    Definition(
        "gmsi-raw",
        "index.gmsi_raw",
        "Unnormalised stability index",
        "",
        {
            "forward": "input_jacobian.operator_norm",
            "parameter": "parameter_jacobian.frobenius_norm",
            "training": "ntk.operator_norm",
            "curvature": "hessian.lambda_max",
        },
        mean=False,
    ),
)


def stability_index(
    measurements: Iterable[Measurement], config: IndexConfig
) -> tuple[IndexReport, tuple[Measurement, ...]]:
    """Every variant with its components, and the measurements ``index.gmsi``, ``.gmsi_typical`` and ``.gmsi_raw``.

    Args:
        measurements: Of a report, fresh or stored.
        config: Weights, and which components may be missing.
    """
    by_name = {measurement.name: measurement for measurement in measurements}
    variants, added = [], []
    for definition in DEFINITIONS:
        variant, measurement = _evaluate(definition, by_name, config)
        variants.append(variant)
        added.append(measurement)
    return IndexReport(variants=tuple(variants)), tuple(added)


def _evaluate(
    definition: Definition, by_name: Mapping[str, Measurement], config: IndexConfig
) -> tuple[IndexVariant, Measurement]:
    terms = {name: _read(definition, name, by_name) for name in COMPONENTS}
    weights = {name: config.weights.get(name, 0.0) for name in COMPONENTS}
    counted = {name: term for name, term in terms.items() if term.value is not None and weights[name] > 0}
    missing = [name for name in COMPONENTS if weights[name] > 0 and name not in counted]
    required = [name for name in missing if name not in config.optional]
    detail = None
    if missing:
        detail = "; ".join(f"{name} is missing: {_reason(terms[name])}" for name in missing)
    if required or not counted:
        outcome: Outcome = terms[(required or missing)[0]].outcome
        measurement = _measurement(definition, None, outcome, detail, ErrorBars())
    else:
        measurement = _combined(definition, counted, weights, detail)
    components = tuple(
        IndexComponent(name=name, value=terms[name].value, weight=weights[name], reason=_reason(terms[name]))
        for name in COMPONENTS
    )
    variant = IndexVariant(
        name=definition.name,
        value=measurement.value,
        outcome=measurement.outcome,
        components=components,
        detail=measurement.detail,
    )
    return variant, measurement


def _read(definition: Definition, component: str, by_name: Mapping[str, Measurement]) -> Measurement:
    name = definition.reads[component]
    found = by_name.get(name)
    if found is None:
        return Measurement(name=name, value=None, outcome="not_applicable", detail=f"{name} was not measured")
    if name != "ntk.operator_norm" or found.value is None:
        return found
    n = by_name[_SAMPLES].value if _SAMPLES in by_name else None
    if not n:
        return Measurement(name=name, value=None, outcome="not_applicable", detail=f"{_SAMPLES} was not measured")
    share = 1 / n  # one factor for value and bars, so that an exact value's bars keep no width
    bars = ErrorBars(numerical=_scaled(found.error.numerical, share), sampling=_scaled(found.error.sampling, share))
    return found.model_copy(update={"value": found.value * share, "error": bars})


def _reason(term: Measurement) -> str | None:
    return None if term.value is not None else term.detail or term.outcome


def _combined(
    definition: Definition, terms: Mapping[str, Measurement], weights: Mapping[str, float], detail: str | None
) -> Measurement:
    divisor = sum(weights[name] for name in terms) if definition.mean else 1.0
    value = sum((term.value or 0.0) * (weights[name] / divisor) for name, term in terms.items())

    def combined(interval_of: Callable[[Measurement], Interval | None]) -> Interval | None:
        scaled = [_scaled(interval_of(term), weights[name] / divisor) for name, term in terms.items()]
        known = [interval for interval in scaled if interval is not None]
        if len(known) < len(scaled):
            return None
        low, high = sum(interval.low for interval in known), sum(interval.high for interval in known)
        return Interval(low=low, high=max(low, high), level=min(interval.level for interval in known))

    bars = ErrorBars(
        numerical=combined(lambda term: term.error.numerical), sampling=combined(lambda term: term.error.sampling)
    )
    outcome: Outcome = next((term.outcome for term in terms.values() if term.outcome != "ok"), "ok")
    exact = all(term.exact for term in terms.values())
    return _measurement(definition, value, outcome, detail, bars, exact=exact)


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    """``factor`` is not negative."""
    if interval is None:
        return None
    return Interval(low=interval.low * factor, high=interval.high * factor, level=interval.level)


def _measurement(
    definition: Definition,
    value: float | None,
    outcome: Outcome,
    detail: str | None,
    error: ErrorBars,
    *,
    exact: bool = False,
) -> Measurement:
    return Measurement(
        name=definition.measurement,
        value=value,
        unit=definition.unit,
        direction="lower_is_stabler",
        outcome=outcome,
        method=f"{definition.name}: weighted {'mean' if definition.mean else 'sum'} of its components",
        exact=exact,
        error=error,
        detail=detail,
    )
