import pytest

from eigengate.contract import IndexReport, OutputInfo
from eigengate.gate import judge, why_not_comparable
from tests.support.policies import TODAY, policy, regression, statuses, threshold
from tests.support.reports import make_measurement, make_model, make_report, with_measurement, without_measurement

METRIC = "ntk.trace"
BASE = make_report()


def report_with(value, **fields):
    return with_measurement(BASE, METRIC, value, **fields)


def finding(new, old, rule):
    verdict = judge(report_with(new), policy(regression(rule, metric=METRIC)), report_with(old), today=TODAY)
    return verdict.conditions[0]


@pytest.mark.parametrize(
    ("rule", "old", "new", "expected"),
    [
        ({"max_relative_increase": 0.1}, 10.0, 11.0, "pass"),
        ({"max_relative_increase": 0.1}, 10.0, 11.1, "fail"),
        ({"max_relative_increase": 0.1}, 10.0, 1.0, "pass"),
        ({"max_relative_increase": 0.1}, -10.0, -9.1, "pass"),
        ({"max_relative_increase": 0.1}, -10.0, -8.9, "fail"),
        ({"max_relative_increase": 0.1}, 0.0, 1e-9, "fail"),
        ({"max_relative_increase": 0.1}, 0.0, 0.0, "pass"),
        ({"max_absolute_increase": 1.0}, 10.0, 11.0, "pass"),
        ({"max_absolute_increase": 1.0}, 10.0, 11.5, "fail"),
        ({"max_relative_decrease": 0.1}, 10.0, 8.9, "fail"),
        ({"max_relative_decrease": 0.1}, 10.0, 20.0, "pass"),
        ({"max_absolute_decrease": 1.0}, 10.0, 8.9, "fail"),
        ({"max_absolute_decrease": 1.0}, 10.0, 9.0, "pass"),
        # Every limit given must be exceeded.
        ({"max_relative_increase": 0.1, "max_absolute_increase": 5.0}, 10.0, 12.0, "pass"),
        ({"max_relative_increase": 0.1, "max_absolute_increase": 5.0}, 10.0, 16.0, "fail"),
        ({"max_relative_decrease": 0.1, "max_absolute_decrease": 5.0}, 10.0, 8.0, "pass"),
        ({"max_relative_decrease": 0.1, "max_absolute_decrease": 5.0}, 10.0, 4.0, "fail"),
    ],
)
def test_a_change_beyond_every_limit_fails(rule, old, new, expected):
    found = finding(new, old, rule)
    assert (found.status, found.baseline, found.change) == (expected, old, pytest.approx(new - old))


@pytest.mark.parametrize(
    ("beyond_noise", "expected"), [(0.0, "fail"), (1.0, "fail"), (2.0, "indeterminate"), (3.0, "indeterminate")]
)
def test_a_change_within_its_noise_cannot_be_decided(beyond_noise, expected):
    # Half-widths 0.3 and 0.4 combine to 0.5; the change is 1.
    new, old = report_with(11.0, numerical=(10.7, 11.3)), report_with(10.0, numerical=(9.6, 10.4))
    rule = {"max_absolute_increase": 0.2, "beyond_noise": beyond_noise}
    verdict = judge(new, policy(regression(rule, metric=METRIC)), old, today=TODAY)
    assert statuses(verdict) == [expected]
    assert verdict.conditions[0].noise == pytest.approx(0.5 * beyond_noise)


@pytest.mark.parametrize(
    ("if_none", "status", "expected"),
    [("fail", "missing", "fail"), ("warn", "missing", "warn"), ("skip", "skipped", "indeterminate")],
)
def test_without_a_baseline_the_policy_says_what_happens(if_none, status, expected):
    rules = policy(regression({"max_absolute_increase": 1.0}), baseline={"if_none": if_none})
    verdict = judge(BASE, rules, today=TODAY)
    assert (statuses(verdict), verdict.outcome) == ([status], expected)
    assert "no baseline" in verdict.conditions[0].message


def test_on_missing_does_not_answer_for_a_missing_baseline():
    rules = policy(regression({"max_absolute_increase": 1.0}, on_missing="warn"))
    assert judge(BASE, rules, today=TODAY).outcome == "fail"


def test_a_baseline_that_lacks_the_metric_cannot_decide():
    rules = policy(regression({"max_absolute_increase": 1.0}, metric=METRIC))
    verdict = judge(BASE, rules, without_measurement(BASE, METRIC), today=TODAY)
    assert statuses(verdict) == ["indeterminate"]
    assert "in the baseline" in verdict.conditions[0].message


def probe(**fields):
    return BASE.probe.model_copy(update=fields)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"probe": probe(sha256="d" * 64)}, "probe data differ"),
        ({"probe": probe(used=12)}, "different numbers of probe samples"),
        ({"probe": probe(labels="predicted")}, "labels are given here and predicted"),
        (
            {"model": make_model().model_copy(update={"output": OutputInfo(name="y", kind="logits", classes=3)})},
            "analysed outputs differ",
        ),
    ],
)
@pytest.mark.parametrize("metric", ["input_jacobian.operator_norm", "hessian.trace", "attribution.robustness"])
def test_nothing_is_compared_across_probe_data_or_outputs(changed, reason, metric):
    other = make_report(**changed)
    rules = policy(regression({"max_absolute_increase": 1e9}, metric=metric), threshold(id="plain", limit=1e9))
    verdict = judge(BASE, rules, other, today=TODAY)
    assert statuses(verdict) == ["indeterminate", "pass"]
    assert reason in verdict.conditions[0].message
    assert "refused" in verdict.conditions[0].message


@pytest.mark.parametrize(
    "other", [make_report(model=make_model(format="onnx")), make_report(model=make_model(digest="e" * 64))]
)
@pytest.mark.parametrize(
    ("metric", "refused"),
    [
        ("parameter_jacobian.operator_norm", True),
        ("ntk.trace", True),
        ("gauss_newton.lambda_max", True),
        ("hessian.lambda_max", True),
        ("index.gmsi", True),
        ("index.parameter", True),
        ("index.forward", False),
        ("input_jacobian.operator_norm", False),
        ("attribution.robustness", False),
        ("model.accuracy", False),
    ],
)
def test_parameter_space_is_not_compared_across_parametrisations(other, metric, refused):
    assert (why_not_comparable(metric, BASE, other) is not None) == refused


def test_indices_with_other_weights_are_not_compared():
    variant = BASE.index.variants[0]
    heavier = tuple(c.model_copy(update={"weight": 2.0}) for c in variant.components)
    index = IndexReport(variants=(variant.model_copy(update={"components": heavier}),))
    assert "weights" in str(why_not_comparable("index.gmsi", BASE, make_report(index=index)))
    assert why_not_comparable("hessian.trace", BASE, make_report(index=index)) is None


def test_attribution_at_other_noise_sizes_is_not_compared():
    curves = tuple(
        c.model_copy(update={"noise_sizes": (0.02, 0.05, 0.1, 0.2, 0.4)}) if c.method == "saliency" else c
        for c in BASE.attribution.curves
    )
    other = make_report(attribution=BASE.attribution.model_copy(update={"curves": curves}))
    refused = {
        name: why_not_comparable(f"attribution.{name}", BASE, other) is not None
        for name in ("robustness", "saliency.cosine", "smoothgrad.cosine")
    }
    assert refused == {"robustness": True, "saliency.cosine": True, "smoothgrad.cosine": False}


def test_a_report_compared_with_itself_passes_every_preset_regression():
    assert make_measurement(METRIC, 1.0).value == 1.0
    rules = policy(extends="builtin:recommended")
    compared = [c for c in judge(BASE, rules, BASE, today=TODAY).conditions if c.baseline is not None]
    assert len(compared) == 3
    assert {c.status for c in compared} == {"pass"}
