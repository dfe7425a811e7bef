"""The probe samples as a table, the most sensitive first."""

from dataclasses import dataclass
from typing import final

from eigengate.contract import SampleRecord, StabilityReport

MOST_ROWS = 200
PREFERRED = (
    "input_jacobian.operator_norm",
    "input_jacobian.typical_gain",
    "parameter_jacobian.operator_norm",
    "attribution.saliency.cosine",
    "attribution.integrated_gradients.cosine",
    "attribution.smoothgrad.cosine",
)


@final
@dataclass(frozen=True)
class SampleTable:
    """Columns after label, prediction and loss; rows; and how many rows are not shown."""

    columns: tuple[str, ...]
    rows: tuple[SampleRecord, ...]
    hidden: int


def sample_table(report: StabilityReport) -> SampleTable | None:
    """The per-sample values that matter most, at most 200 rows; null if the report has no samples."""
    if not report.samples:
        return None
    present = {name for record in report.samples for name in record.values}
    columns = tuple(name for name in PREFERRED if name in present) or tuple(sorted(present))[:6]
    order = columns[0] if columns else ""
    rows = sorted(report.samples, key=lambda record: -(record.values.get(order) or 0.0))
    return SampleTable(columns, tuple(rows[:MOST_ROWS]), max(0, len(rows) - MOST_ROWS))
