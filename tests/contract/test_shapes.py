import json

import pytest
from pydantic import ValidationError

from eigengate.contract import METRICS, AuditConfig, Interval, Measurement, StabilityReport
from tests.support.layers import make_layer
from tests.support.reports import make_measurement, make_report


def test_a_report_survives_a_round_trip():
    report = make_report()
    assert StabilityReport.model_validate_json(report.model_dump_json()) == report


def test_layers_survive_a_round_trip_and_reports_of_before_them_have_none():
    report = make_report(layers=(make_layer("blocks.0.first", 12), make_layer("w", 3, trace=None)))
    assert StabilityReport.model_validate_json(report.model_dump_json()) == report
    before = json.loads(report.model_dump_json())
    del before["layers"]
    assert StabilityReport.model_validate_json(json.dumps(before)).layers == ()


def test_layers_are_measured_only_where_they_are_asked_for_with_the_hessian():
    assert not AuditConfig().hessian.per_layer
    with pytest.raises(ValidationError, match=r"hessian\.per_layer needs"):
        AuditConfig(quantities=("ntk",), hessian={"per_layer": True})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measurement_is_finite(value):
    with pytest.raises(ValidationError, match="finite number"):
        Measurement(name="ntk.trace", value=value)


def test_a_null_needs_an_outcome_that_explains_it():
    with pytest.raises(ValidationError, match="a null value needs an outcome"):
        make_measurement("ntk.trace", None)


def test_an_interval_is_ordered():
    with pytest.raises(ValidationError, match="low <= high"):
        Interval(low=2.0, high=1.0)


def test_unknown_keys_are_refused():
    values = json.loads(make_report().model_dump_json()) | {"verdict": "pass"}
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        StabilityReport.model_validate_json(json.dumps(values))


def test_shapes_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        make_report().cost.seconds = 1.0


def test_a_value_can_be_asked_for_by_name_and_statistic():
    report = make_report()
    assert report.value("ntk.trace") == report.value("ntk.trace", "mean") == 46500.0
    assert report.value("ntk.trace", "p95") is None
    assert report.value("input_jacobian.operator_norm", "p95") == pytest.approx(4.2 + 1.6 * 0.841)
    with pytest.raises(KeyError, match=r"no measurement 'ntk\.tracy'.*ntk\.trace"):
        report.value("ntk.tracy")
    with pytest.raises(KeyError, match="unknown statistic 'p99'"):
        report.value("ntk.trace", "p99")


def test_the_catalogue_knows_names_that_measurements_may_have():
    for name, metric in METRICS.items():
        assert Measurement(name=name, value=1.0).name == metric.name
        assert metric.meaning.endswith(".")
