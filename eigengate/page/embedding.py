"""The report inside the page, for machines."""

from markupsafe import Markup

from eigengate.contract import AttributionReport, StabilityReport

MAX_EMBEDDED_BYTES = 1_500_000
# What would end the script element, start a comment, or end a line in older JavaScript.
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def embedded_json(report: StabilityReport) -> Markup:
    """JSON that is safe inside a script element; pictures, then spectra, samples and so on stay out until it fits."""
    if report.attribution:
        report = report.model_copy(update={"attribution": AttributionReport(curves=report.attribution.curves)})
    text = report.model_dump_json()
    for left_out in ("spectra", "samples", "coverage", "layers"):
        if len(text) <= MAX_EMBEDDED_BYTES:
            break
        report = report.model_copy(update={left_out: ()})
        text = report.model_dump_json()
    return Markup(text.translate(_ESCAPES))  # noqa: S704 - escaped on this line
