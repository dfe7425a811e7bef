"""A first policy from a first report: what the network shows today, with headroom."""

import math
from collections.abc import Iterator

from eigengate.contract import METRICS, Measurement, StabilityReport
from eigengate.gate.wording import number

STARTER_METRICS = (
    "index.gmsi",
    "index.forward",
    "attribution.robustness",
    "input_jacobian.operator_norm",
    "ntk.label_noise_gain",
    "hessian.lambda_max",
    "model.accuracy",
)


def starter_policy(report: StabilityReport, *, headroom: float = 0.2) -> str:
    """TOML that ``report`` passes; every threshold is ``headroom`` (a fraction) beyond the pessimistic end of today.

    Logarithmic quantities get the same headroom in the quantity they are the logarithm of.
    """
    measured = {measurement.name: measurement for measurement in report.measurements}
    lines = [
        "# Written by eigengate policy init from a report: it passes today, with headroom of "
        f"{number(100 * headroom)} % per threshold.",
        f"# Model {report.model.sha256}, probe {report.probe.sha256}.",
        "schema = 1",
        'mode = "enforce"',
    ]
    for name in STARTER_METRICS:
        if name in measured and measured[name].outcome == "ok" and measured[name].value is not None:
            lines += ["", *_condition(measured[name], headroom)]
    return "\n".join(lines) + "\n"


def _condition(measurement: Measurement, headroom: float) -> Iterator[str]:
    assert measurement.value is not None
    metric, bars = METRICS[measurement.name], measurement.error.numerical
    lower_is_stabler = metric.direction == "lower_is_stabler"
    sign = 1.0 if lower_is_stabler else -1.0
    end = measurement.value
    if bars is not None:
        end = max(end, bars.high) if lower_is_stabler else min(end, bars.low)
    room = math.log10(1 + headroom) if metric.name.startswith("index.") else headroom * abs(end)
    yield "[[condition]]"
    yield f'id = "{metric.name.replace(".", "-").replace("_", "-")}"'
    yield f'metric = "{metric.name}"  # {metric.meaning}'
    yield f'op = "{"<=" if lower_is_stabler else ">="}"'
    yield f"threshold = {_outward(end + sign * room, sign)!r}  # measured: {number(measurement.value)}"


def _outward(value: float, sign: float) -> float:
    """Three significant digits, rounded away from the measured value."""
    if abs(value) < 1e-12:
        return 0.0 if sign * value <= 0 else sign * 1e-12
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    steps = math.ceil(value / step) if sign > 0 else math.floor(value / step)
    rounded = float(f"{steps * step:.6g}")
    # In binary the decimal number may lie on the wrong side by a hair.
    return rounded if sign * (rounded - value) >= 0 else float(f"{(steps + sign) * step:.6g}")
