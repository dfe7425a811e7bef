"""The index as arithmetic on measurements, fresh or stored."""

import math
import subprocess
import sys

import pytest

from eigengate.contract import ErrorBars, IndexConfig, IndexReport, Interval, Measurement
from eigengate.index import COMPONENTS, stability_index

VALUES = {"forward": 0.4, "parameter": 1.0, "training": 0.2, "curvature": -0.8}


def component(name: str, value: float | None, *, numerical: float = 0.0, sampling: float | None = 0.1) -> Measurement:
    if value is None:
        return Measurement(name=name, value=None, outcome="not_applicable", detail="it has no meaning here")
    bars = ErrorBars(
        numerical=Interval(low=value - numerical, high=value + numerical, level=1.0 if numerical == 0 else 0.95),
        sampling=None if sampling is None else Interval(low=value - sampling, high=value + sampling),
    )
    return Measurement(name=name, value=value, exact=numerical == 0, error=bars)


def components(**changes: Measurement) -> list[Measurement]:
    return [changes.get(name) or component(f"index.{name}", value) for name, value in VALUES.items()]


def headline(measurements, **config) -> Measurement:
    return stability_index(measurements, IndexConfig(**config))[1][0]


def variant(report: IndexReport, name: str):
    return next(variant for variant in report.variants if variant.name == name)


def test_the_index_is_the_mean_of_its_components():
    index = headline(components())
    assert (index.name, index.unit, index.direction) == ("index.gmsi", "log10", "lower_is_stabler")
    assert index.value == pytest.approx(sum(VALUES.values()) / 4)
    assert index.exact


def test_the_index_is_the_log_of_a_weighted_geometric_mean():
    weights = {"forward": 2.0, "parameter": 0.5, "training": 1.0, "curvature": 0.0}
    gains = {name: 10**value for name, value in VALUES.items()}
    product = math.prod(gains[name] ** weight for name, weight in weights.items()) ** (1 / 3.5)
    assert headline(components(), weights=weights).value == pytest.approx(math.log10(product))


def test_ten_times_every_gain_is_one_more():
    ten_times = [component(f"index.{name}", value + 1) for name, value in VALUES.items()]
    assert headline(ten_times).value == pytest.approx(headline(components()).value + 1)


def test_a_weight_left_out_counts_nothing():
    assert headline(components(), weights={"forward": 1.0}).value == pytest.approx(0.4)


def test_intervals_add_end_by_end():
    index = headline(components(curvature=component("index.curvature", -0.8, numerical=0.4, sampling=0.3)))
    assert index.error.numerical.low == pytest.approx(index.value - 0.1)
    assert index.error.numerical.high == pytest.approx(index.value + 0.1)
    assert index.error.numerical.level == 0.95
    assert index.error.sampling.high == pytest.approx(index.value + (3 * 0.1 + 0.3) / 4)
    assert not index.exact


def test_one_component_without_an_interval_leaves_the_index_without_it():
    index = headline(components(training=component("index.training", 0.2, sampling=None)))
    assert index.error.sampling is None
    assert index.error.numerical is not None


def test_an_undefined_component_makes_the_index_null_with_its_reason():
    report, (index, *_) = stability_index(components(forward=component("index.forward", None)), IndexConfig())
    assert index.value is None
    assert index.outcome == "not_applicable"
    assert index.detail == "forward is missing: it has no meaning here"
    one = variant(report, "gmsi-1")
    assert one.value is None
    assert one.components[0].reason == "it has no meaning here"
    assert [c.value for c in one.components[1:]] == [1.0, 0.2, -0.8]


def test_an_optional_component_may_be_missing_and_is_named():
    index = headline(components(forward=component("index.forward", None)), optional=("forward",))
    assert index.value == pytest.approx((1.0 + 0.2 - 0.8) / 3)
    assert "forward is missing" in index.detail


def test_a_component_that_was_not_measured_is_missing():
    index = headline([m for m in components() if m.name != "index.training"])
    assert index.detail == "training is missing: index.training was not measured"


def test_a_missing_component_of_weight_zero_does_not_matter():
    weights = {"forward": 1.0, "parameter": 1.0, "training": 0.0, "curvature": 1.0}
    index = headline(components(training=component("index.training", None)), weights=weights)
    assert index.value == pytest.approx((0.4 + 1.0 - 0.8) / 3)


def test_nothing_measured_is_null_even_if_everything_is_optional():
    index = headline([], optional=COMPONENTS)
    assert (index.value, index.outcome) == (None, "not_applicable")


def test_a_component_that_did_not_converge_is_counted_and_said():
    doubtful = component("index.curvature", -0.8, numerical=0.5).model_copy(update={"outcome": "not_converged"})
    index = headline(components(curvature=doubtful))
    assert index.value == pytest.approx(0.2)
    assert index.outcome == "not_converged"


def test_the_typical_variant_reads_the_typical_components():
    typical = [component(f"index.{name}_typical", value - 1) for name, value in VALUES.items()]
    report, (one, two, _) = stability_index(components() + typical, IndexConfig())
    assert two.name == "index.gmsi_typical"
    assert two.value == pytest.approx(one.value - 1)
    assert variant(report, "gmsi-1-typical").value == two.value


def test_the_raw_variant_is_a_plain_weighted_sum():
    raw = [
        component("input_jacobian.operator_norm", 2.0),
        component("parameter_jacobian.frobenius_norm", 3.0),
        component("ntk.operator_norm", 40.0, sampling=8.0),
        component("hessian.lambda_max", 5.0),
        component("probe.samples", 8.0),
    ]
    weights = {"forward": 1.0, "parameter": 2.0, "training": 0.5, "curvature": 1.0}
    _, (*_, index) = stability_index(raw, IndexConfig(weights=weights))
    assert index.name == "index.gmsi_raw"
    assert index.value == pytest.approx(2 + 2 * 3 + 0.5 * 40 / 8 + 5)
    assert index.error.sampling.high - index.value == pytest.approx(0.1 + 0.2 + 0.5 * 1.0 + 0.1)


def test_the_order_of_measurements_does_not_matter():
    assert stability_index(components(), IndexConfig()) == stability_index(components()[::-1], IndexConfig())


def test_the_index_can_be_recomputed_without_torch():
    code = "import sys, eigengate.index; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
