"""Everything a page shows, and nothing else: the templates see the fields of one frozen dataclass."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

from markupsafe import Markup

from eigengate.contract import (
    AttributionCurve,
    Certificate,
    Coverage,
    IndexReport,
    Measurement,
    ReportProblem,
    StabilityReport,
    Verdict,
)
from eigengate.page.cards import Card, cards
from eigengate.page.embedding import embedded_json
from eigengate.page.facts import FactGroup, fact_groups, reproduction
from eigengate.page.figures import Figure, attribution_figure, cost_figure, index_figure, spectrum_figures
from eigengate.page.gate_rows import GateRow, gate_rows
from eigengate.page.layer_table import LayerTable, layer_table
from eigengate.page.sample_maps import SampleMaps, sample_maps
from eigengate.page.sample_table import SampleTable, sample_table


@final
@dataclass(frozen=True)
class PageContext:
    """One field per thing on the page, in the order in which they appear."""

    title: str
    content_security_policy: str
    styles: Markup
    subtitle: str
    verdict: Verdict | None
    gate: Sequence[GateRow]
    cards: Sequence[Card]
    index: IndexReport
    index_profile: Figure | None
    spectra: Sequence[Figure]
    layers: LayerTable | None
    attribution: Figure | None
    attribution_curves: Sequence[AttributionCurve]
    sample_maps: Sequence[SampleMaps]
    problems: Sequence[ReportProblem]
    certificate: Certificate
    facts: Sequence[FactGroup]
    coverage: Sequence[Coverage]
    measurements: Sequence[tuple[str, Sequence[Measurement]]]
    samples: SampleTable | None
    cost: Figure | None
    reproduce: str
    report_json: Markup


def page_context(
    report: StabilityReport, verdict: Verdict | None, *, styles: str, content_security_policy: str
) -> PageContext:
    """Choose what is shown of ``report`` and ``verdict``; no template decides that."""
    return PageContext(
        title=f"Stability of model {report.model.sha256[:12]}",
        content_security_policy=content_security_policy,
        styles=Markup(styles),  # noqa: S704 - our own style sheet
        subtitle=_subtitle(report),
        verdict=verdict,
        gate=gate_rows(verdict) if verdict else (),
        cards=cards(report, verdict),
        index=report.index,
        index_profile=index_figure(report, verdict),
        spectra=spectrum_figures(report),
        layers=layer_table(report),
        attribution=attribution_figure(report),
        attribution_curves=report.attribution.curves if report.attribution else (),
        sample_maps=sample_maps(report),
        problems=report.problems,
        certificate=report.certificate,
        facts=fact_groups(report),
        coverage=report.coverage,
        measurements=_by_operator(report.measurements),
        samples=sample_table(report),
        cost=cost_figure(report),
        reproduce=reproduction(report),
        report_json=embedded_json(report),
    )


def _subtitle(report: StabilityReport) -> str:
    model, output = report.model, report.model.output
    kind = f"{output.classes} classes" if output.kind != "regression" else f"{output.classes} outputs"
    created = f"{report.created_at:%d %B %Y, %H:%M} {report.created_at.tzname() or ''}".strip()
    return (
        f"{model.format} · {model.parameters.count:,} parameters · {kind} · "
        f"{report.probe.used} probe samples · {created}"
    )


def _by_operator(measurements: Sequence[Measurement]) -> list[tuple[str, Sequence[Measurement]]]:
    def operator(measurement: Measurement) -> str:
        return measurement.name.rsplit(".", 1)[0]

    return [(name, tuple(group)) for name, group in groupby(sorted(measurements, key=operator), key=operator)]
