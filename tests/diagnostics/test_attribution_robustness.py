"""What an audit says about attribution robustness: values, both kinds of error, curves, samples, and honest nulls."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from eigengate.contract import METRICS, AuditConfig, Measurement
from eigengate.diagnostics import Context, Findings, load_all
from eigengate.diagnostics.attribution_robustness import AttributionRobustness
from eigengate.operators.subject import Subject
from tests.support.attribution_subjects import Linear, Scaled, classifier, normal, regressor, tanh_network

SCORES = ("cosine", "flip_rate", "relative_l2", "spearman", "top_k_overlap")


def audited(subject: Subject, **attribution: object) -> Findings:
    config = AuditConfig.model_validate({"seed": 5, "attribution": {"draws": 4, **attribution}})
    return AttributionRobustness().measure(Context(subject, config))


def named(findings: Findings, name: str) -> Measurement:
    return next(measurement for measurement in findings.measurements if measurement.name == name)


def value(findings: Findings, name: str) -> float:
    found = named(findings, name).value
    assert found is not None
    return found


@pytest.fixture(scope="module")
def findings() -> Findings:
    return audited(classifier(tanh_network(16, 3), normal(12, 16)))


def test_it_is_found_among_the_diagnostics():
    assert any(isinstance(diagnostic, AttributionRobustness) for diagnostic in load_all())


def test_the_catalogue_of_measurements_knows_every_one_with_its_direction():
    catalogue = {name: metric.direction for name, metric in METRICS.items() if name.startswith("attribution.")}
    assert {metric.name: metric.direction for metric in AttributionRobustness.metrics} == catalogue


def test_every_metric_is_measured_with_both_kinds_of_error(findings):
    assert [m.name for m in findings.measurements] == [metric.name for metric in AttributionRobustness.metrics]
    for measurement in findings.measurements:
        assert measurement.outcome == "ok", measurement.name
        assert measurement.value is not None
        assert not measurement.exact
        for interval in (measurement.error.numerical, measurement.error.sampling):
            assert interval is not None
            assert interval.level == 0.95
            assert interval.low - 1e-12 <= measurement.value <= interval.high + 1e-12  # rounding of the mean
        assert "0.01 to 0.2" in (measurement.detail or "")


def test_the_headline_is_the_mean_cosine_of_the_methods(findings):
    methods = ("saliency", "integrated_gradients", "smoothgrad")
    cosines = [value(findings, f"attribution.{method}.cosine") for method in methods]
    assert value(findings, "attribution.robustness") == pytest.approx(sum(cosines) / 3, abs=1e-12)


def test_a_measurement_is_the_area_under_its_curve_over_log_size(findings):
    for curve in findings.attribution.curves:
        log = [math.log(size) for size in curve.noise_sizes]
        for score in SCORES:
            y = getattr(curve, score)
            area = sum((b - a) * (u + v) / 2 for a, b, u, v in zip(log, log[1:], y, y[1:], strict=False))
            expected = area / (log[-1] - log[0])
            assert value(findings, f"attribution.{curve.method}.{score}") == pytest.approx(expected, abs=1e-12)


def test_the_band_of_a_curve_holds_its_mean(findings):
    assert [curve.method for curve in findings.attribution.curves] == ["saliency", "integrated_gradients", "smoothgrad"]
    for curve in findings.attribution.curves:
        assert curve.noise_sizes == (0.01, 0.02, 0.05, 0.1, 0.2)
        for low, mean, high in zip(curve.cosine_low, curve.cosine, curve.cosine_high, strict=True):
            assert -1 <= low < mean < high <= 1


def test_summaries_and_records_are_per_sample(findings):
    for measurement in findings.measurements:
        values = findings.per_sample[measurement.name]
        assert len(values) == measurement.summary.n == 12
        assert measurement.summary.mean == pytest.approx(measurement.value, abs=1e-12)
        assert measurement.summary.min == min(values)
        assert measurement.summary.max == max(values)


def test_saliency_and_smoothgrad_of_a_linear_network_have_robustness_exactly_one():
    linear = classifier(Linear(normal(3, 16)), normal(12, 16, seed=1))
    findings = audited(linear, methods=["saliency", "smoothgrad"])
    assert value(findings, "attribution.robustness") == 1
    assert named(findings, "attribution.robustness").error.sampling.low == 1


def test_the_scale_of_the_logits_changes_nothing():
    network, x = tanh_network(16, 3), normal(12, 16, dtype=torch.float32)
    one, ten = audited(classifier(network, x)), audited(classifier(Scaled(network, 10.0), x))
    for metric in AttributionRobustness.metrics:
        assert value(ten, metric.name) == pytest.approx(value(one, metric.name), abs=1e-6)


class Spiral(nn.Module):
    """½ Σ cos(k x): a gradient that turns over many times within the noise."""

    def forward(self, x):
        return 0.5 * torch.cos(1e4 * x).sum(dim=1, keepdim=True)


def test_an_explanation_that_noise_scrambles_has_robustness_near_zero_and_never_below():
    findings = audited(regressor(Spiral(), normal(30, 64)), methods=["saliency"])
    # Cosines of independent directions in 64 dimensions: 1/√64 each, over 30 samples and 4 draws about 0.01.
    assert 0 <= value(findings, "attribution.robustness") < 0.05
    assert named(findings, "attribution.robustness").error.numerical.low >= 0


def test_the_same_seed_gives_the_same_findings_and_another_seed_others():
    subject = classifier(tanh_network(16, 3), normal(6, 16))
    assert audited(subject) == audited(subject)
    other = AttributionRobustness().measure(Context(subject, AuditConfig(seed=6)))
    assert value(other, "attribution.robustness") != value(audited(subject), "attribution.robustness")


def test_leaving_a_method_out_changes_no_number_of_the_others(findings):
    alone = audited(classifier(tanh_network(16, 3), normal(12, 16)), methods=["smoothgrad"])
    for score in SCORES:
        name = f"attribution.smoothgrad.{score}"
        assert named(alone, name) == named(findings, name)
    missing = named(alone, "attribution.saliency.cosine")
    assert (missing.value, missing.outcome) == (None, "not_applicable")
    assert "attribution.methods" in (missing.detail or "")


def test_the_sampling_interval_shrinks_like_one_over_the_root_of_the_samples():
    network, x = tanh_network(16, 3), normal(256, 16)
    widths = []
    for n in (64, 256):
        interval = named(
            audited(classifier(network, x[:n]), methods=["saliency"]), "attribution.robustness"
        ).error.sampling
        widths.append(interval.high - interval.low)
    # The spread of 64 samples is known to about 1/√128 = 9 % for normal data; robustness has heavier tails.
    assert 1.4 < widths[0] / widths[1] < 2.8


def test_more_draws_narrow_the_numerical_interval_alone():
    subject = classifier(tanh_network(16, 3), normal(24, 16))
    few, many = (named(audited(subject, methods=["saliency"], draws=d), "attribution.robustness") for d in (4, 64))
    ratio = (few.error.numerical.high - few.error.numerical.low) / (
        many.error.numerical.high - many.error.numerical.low
    )
    assert 2.5 < ratio < 7  # √16 = 4
    assert few.error.numerical.low <= many.error.numerical.high
    assert many.error.numerical.low <= few.error.numerical.high


def test_a_single_draw_has_no_numerical_interval():
    findings = audited(classifier(tanh_network(16, 3), normal(6, 16)), draws=1)
    assert named(findings, "attribution.robustness").error.numerical is None
    assert named(findings, "attribution.robustness").error.sampling is not None


def test_equal_samples_have_no_natural_size_of_noise():
    findings = audited(classifier(tanh_network(16, 3), normal(1, 16).expand(4, -1)))
    assert {m.outcome for m in findings.measurements} == {"not_applicable"}
    assert all("do not differ" in (m.detail or "") for m in findings.measurements)
    assert findings.attribution is None


def test_a_regression_has_no_flips():
    findings = audited(regressor(tanh_network(16, 3), normal(6, 16)))
    flips = named(findings, "attribution.saliency.flip_rate")
    assert (flips.value, flips.outcome) == (None, "not_applicable")
    assert all(curve.flip_rate == () for curve in findings.attribution.curves)
    assert value(findings, "attribution.saliency.cosine") > 0


def test_a_dead_network_is_not_called_robust():
    dead = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        dead[0].bias.fill_(-1000.0)
    findings = audited(classifier(dead, normal(5, 4)))
    headline = named(findings, "attribution.robustness")
    assert (headline.value, headline.outcome) == (None, "not_applicable")
    assert "identically zero" in (headline.detail or "")


def test_single_zero_maps_are_counted_in_the_detail():
    x = torch.cat([normal(4, 4).abs(), -1e6 * torch.ones(1, 4).double()])
    half_dead = nn.Sequential(nn.ReLU(), Linear(normal(2, 4).abs()))
    detail = named(audited(classifier(half_dead, x), methods=["saliency"]), "attribution.saliency.cosine").detail
    assert "1 of 5 samples (saliency)" in (detail or "")


class Root(nn.Module):
    def forward(self, x):
        return x.sqrt().sum(dim=1, keepdim=True)


def test_a_map_with_nan_makes_the_measurement_non_finite_and_not_optimistic():
    x = normal(5, 4).abs() + 10
    x[2, 0] = 0.0
    findings = audited(regressor(Root(), x), methods=["saliency"])
    headline = named(findings, "attribution.robustness")
    assert (headline.value, headline.outcome) == (None, "non_finite")
    assert "1 of 5 samples" in (headline.detail or "")
    assert findings.attribution.curves == ()
    assert findings.per_sample["attribution.robustness"][2] is None


def test_the_samples_shown_are_the_worst_first_and_carry_their_own_cosine(findings):
    shown = findings.attribution.samples
    ranking = sorted(range(12), key=lambda i: findings.per_sample["attribution.robustness"][i])
    assert [sample.index for sample in shown] == ranking[:6]
    x = normal(12, 16)
    for sample in shown:
        clean, noisy = torch.tensor(sample.clean_map), torch.tensor(sample.noisy_map)
        assert float(torch.cosine_similarity(clean, noisy, dim=0)) == pytest.approx(sample.cosine, abs=1e-6)
        assert sample.noise_size == 0.1
        assert sample.shape == (16,)
        assert list(sample.clean_input) == x[sample.index].tolist()


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((8, 8), True), ((3, 6, 6), True), ((6, 6, 3), True), ((8, 6, 6), False), ((2, 2, 2, 2), False), ((4097,), False)],
)
def test_only_inputs_a_page_can_draw_are_shown(shape, shown):
    features = math.prod(shape)
    network = nn.Sequential(nn.Flatten(), tanh_network(features, 2, width=4))
    findings = audited(classifier(network, normal(3, *shape)), methods=["saliency"], draws=1)
    assert bool(findings.attribution.samples) == shown


def test_progress_is_told_by_method():
    heard: list[str] = []
    context = Context(classifier(tanh_network(16, 3), normal(4, 16)), AuditConfig())
    AttributionRobustness().measure(replace(context, on_progress=lambda stage, done, total: heard.append(stage)))
    assert list(dict.fromkeys(heard)) == [
        "attribution saliency",
        "attribution integrated_gradients",
        "attribution smoothgrad",
    ]
