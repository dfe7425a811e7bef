"""Curvature by layer for reports that nothing was measured for."""

from typing import Any

from eigengate.contract import ErrorBars, Interval, LayerCurvature, Measurement


def make_layer(name: str, parameters: int, *, trace: float | None = 4.0, lambda_max: float = 2.5) -> LayerCurvature:
    """One layer, its ends exact, its trace within a tenth; a trace of null did not come out finite."""
    bars = None if trace is None else Interval(low=trace - abs(trace) / 10, high=trace + abs(trace) / 10)
    return LayerCurvature(
        name=name,
        tensors=(f"{name}.weight", f"{name}.bias"),
        parameters=parameters,
        lambda_max=_exactly("hessian.layer.lambda_max", lambda_max),
        lambda_min=_exactly("hessian.layer.lambda_min", -0.125),
        trace=_measured("hessian.layer.trace", trace, bars, outcome="non_finite" if trace is None else "ok"),
    )


def _exactly(name: str, value: float) -> Measurement:
    return _measured(name, value, Interval(low=value, high=value, level=1.0), exact=True)


def _measured(name: str, value: float | None, numerical: Interval | None, **fields: Any) -> Measurement:
    return Measurement(name=name, value=value, error=ErrorBars(numerical=numerical), **fields)
