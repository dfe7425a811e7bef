"""When two reports must not be compared, metric by metric."""

from eigengate.contract import StabilityReport

PARAMETER_SPACE = ("parameter_jacobian", "ntk", "gauss_newton", "hessian", "index")


def why_not_comparable(metric: str, report: StabilityReport, baseline: StabilityReport) -> str | None:
    """The reason why ``metric`` means different things in the two reports; null if it means the same."""
    operator = metric.split(".", 1)[0]
    reason = _different_probe(report, baseline) or _different_output(report, baseline)
    if reason is None and operator in PARAMETER_SPACE and metric != "index.forward":
        reason = _different_parameters(report, baseline)
    if reason is None and operator == "index":
        reason = _different_index(report, baseline)
    if reason is None and operator == "attribution":
        reason = _different_noise(metric, report, baseline)
    return reason


def _different_probe(report: StabilityReport, baseline: StabilityReport) -> str | None:
    a, b = report.probe, baseline.probe
    if a.sha256 != b.sha256:
        return f"the probe data differ ({a.sha256[:12]} here, {b.sha256[:12]} in the baseline)"
    if a.used != b.used:
        return f"different numbers of probe samples were used ({a.used} here, {b.used} in the baseline)"
    if a.labels != b.labels:
        return f"the labels are {a.labels} here and {b.labels} in the baseline"
    return None


def _different_output(report: StabilityReport, baseline: StabilityReport) -> str | None:
    a, b = report.model.output, baseline.model.output
    if (a.kind, a.classes) != (b.kind, b.classes):
        return f"the analysed outputs differ ({a.classes} {a.kind} here, {b.classes} {b.kind} in the baseline)"
    return None


def _different_parameters(report: StabilityReport, baseline: StabilityReport) -> str | None:
    a, b = report.model, baseline.model
    if a.format != b.format:
        return f"the parameters of a {a.format} model cannot be compared with those of a {b.format} model"
    if a.parameters.digest != b.parameters.digest:
        return "the two networks have different parameters (names, shapes, or which of them were counted)"
    return None


def _different_index(report: StabilityReport, baseline: StabilityReport) -> str | None:
    def definitions(of: StabilityReport) -> dict[str, dict[str, float]]:
        return {v.name: {c.name: c.weight for c in v.components} for v in of.index.variants}

    if definitions(report) != definitions(baseline):
        return "the stability index was computed with different definitions or weights"
    return None


def _different_noise(metric: str, report: StabilityReport, baseline: StabilityReport) -> str | None:
    def noise_sizes(of: StabilityReport) -> dict[str, tuple[float, ...]]:
        curves = of.attribution.curves if of.attribution else ()
        headline = metric == "attribution.robustness"
        return {c.method: c.noise_sizes for c in curves if headline or metric.startswith(f"attribution.{c.method}.")}

    if noise_sizes(report) != noise_sizes(baseline):
        return "attribution was measured with different methods or noise sizes"
    return None
