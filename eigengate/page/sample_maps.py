"""Samples to look at: input and attribution, clean and under noise, on one scale per row."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import AttributionSample, SampleRecord, StabilityReport
from eigengate.gate.wording import number
from eigengate.page.pictures.heat_map import diverging, greys, grid

MOST_ROWS = 6
CAPTIONS = ("input", "with noise", "attribution", "under noise", "difference")


@final
@dataclass(frozen=True)
class Tile:
    """A picture as a data URI, its caption, its words for those who cannot see it, and whether it is a strip."""

    source: str
    caption: str
    alt: str
    strip: bool


@final
@dataclass(frozen=True)
class SampleMaps:
    """One sample's row of tiles."""

    title: str
    note: str
    tiles: tuple[Tile, ...]


def sample_maps(report: StabilityReport) -> tuple[SampleMaps, ...]:
    """The rows of the report's attribution samples, in their order: worst first."""
    samples = report.attribution.samples if report.attribution else ()
    records = {record.index: record for record in report.samples}
    unit = "" if report.model.embedding is None else "; each cell is the norm of one token's vector"
    return tuple(_row(sample, records.get(sample.index), unit) for sample in samples[:MOST_ROWS] if sample.clean_map)


def _row(sample: AttributionSample, record: SampleRecord | None, unit: str) -> SampleMaps:
    difference = tuple(b - a for a, b in zip(sample.clean_map, sample.noisy_map, strict=True))
    maps = [grid(values, sample.shape) for values in (sample.clean_map, sample.noisy_map, difference)]
    inputs = [grid(values, sample.shape) for values in (sample.clean_input, sample.noisy_input)]
    # One scale for the whole row, that of the two maps: equal colours mean equal numbers.
    scale = max(abs(sum(cell)) for cells in maps[:2] for cell in cells.cells)
    low, high = (end((*sample.clean_input, *sample.noisy_input)) for end in (min, max))
    sources = [*(greys(cells, low, high) for cells in inputs), *(diverging(cells, scale) for cells in maps)]
    title = f"Sample {sample.index}"
    if record is not None and record.label is not None:
        title += f", label {record.label}, predicted {record.predicted}"
    note = (
        f"{sample.method.replace('_', ' ')} at noise {number(sample.noise_size)}: cosine {number(sample.cosine)}; "
        f"maps from -{number(scale)} (blue) to {number(scale)} (red){unit}"
    )
    tiles = tuple(
        Tile(source, caption, f"{caption} of sample {sample.index}", strip=maps[0].height == 1)
        for caption, source in zip(CAPTIONS, sources, strict=True)
    )
    return SampleMaps(title, note, tiles)
