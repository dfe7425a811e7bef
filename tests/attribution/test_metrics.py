"""Every metric against closed forms and scipy, and what happens at zero."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from eigengate.attribution.metrics import Pairs, load_all
from tests.support.attribution_subjects import normal

METRICS = {name: cls() for name, cls in load_all().items()}
OF_MAPS = [metric for metric in METRICS.values() if not metric.needs_classes]
UNCHANGED = {"cosine": 1.0, "spearman": 1.0, "top_k_overlap": 1.0, "relative_l2": 0.0}
VANISHED = {"cosine": 0.0, "spearman": 0.0, "top_k_overlap": 0.0, "relative_l2": 1.0}


def pairs(clean: torch.Tensor, noisy: torch.Tensor, f: torch.Tensor | None = None, g: torch.Tensor | None = None):
    f = torch.zeros(len(clean), 1, dtype=torch.float64) if f is None else f
    return Pairs(clean, noisy, clean, noisy, f, f if g is None else g)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_the_folder_holds_the_metrics_of_the_report():
    assert set(METRICS) == {"cosine", "spearman", "top_k_overlap", "relative_l2", "flip_rate"}


@pytest.mark.parametrize("metric", OF_MAPS, ids=lambda metric: metric.name)
def test_an_equal_map_is_exactly_unchanged(metric):
    a = normal(6, 30)
    assert torch.equal(metric.compare(pairs(a, a.clone())), torch.full((6,), UNCHANGED[metric.name]).double())


@pytest.mark.parametrize("metric", OF_MAPS, ids=lambda metric: metric.name)
def test_a_map_that_stays_zero_is_unchanged_and_one_that_vanishes_or_appears_is_wholly_changed(metric):
    zero, a = torch.zeros(1, 30).double(), normal(1, 30)
    assert metric.compare(pairs(zero, zero)).item() == UNCHANGED[metric.name]
    assert metric.compare(pairs(a, zero)).item() == pytest.approx(VANISHED[metric.name], abs=1e-15)
    assert metric.compare(pairs(zero, a)).item() == pytest.approx(VANISHED[metric.name], abs=1e-15)


@pytest.mark.parametrize("metric", OF_MAPS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("scale", [10.0, 1e-45])  # the smallest number of float32
def test_the_scale_of_the_maps_does_not_matter(metric, scale):
    a, b = normal(6, 30), normal(6, 30, seed=1)
    scaled = metric.compare(pairs(scale * a, scale * b))
    torch.testing.assert_close(scaled, metric.compare(pairs(a, b)), atol=1e-14, rtol=1e-13)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_scores_stay_within_their_bounds(metric):
    a, b = normal(200, 3), normal(200, 3, seed=1)
    scores = metric.compare(pairs(a, torch.cat([b[:100], -a[100:]]), a, b))
    assert float(scores.min()) >= metric.bounds[0]
    assert float(scores.max()) <= metric.bounds[1]


def test_cosine_of_known_angles():
    angles = torch.tensor([0.0, math.pi / 3, math.pi / 2, math.pi], dtype=torch.float64)
    b = torch.stack([angles.cos(), angles.sin()], dim=1)
    scores = METRICS["cosine"].compare(pairs(row(2.0, 0.0).expand(4, -1), 5 * b))
    torch.testing.assert_close(scores, angles.cos(), atol=1e-15, rtol=0)


def test_cosine_keeps_its_digits_near_one():
    # 1 − cos θ = 2 sin²(θ/2) is 5e-15 here; ⟨a, b⟩/(‖a‖‖b‖) would lose two digits of it.
    theta = 1e-7
    deviation = 1 - METRICS["cosine"].compare(pairs(row(1.0, 0.0), row(math.cos(theta), math.sin(theta)))).item()
    assert deviation == pytest.approx(2 * math.sin(theta / 2) ** 2, rel=0.05)


@pytest.mark.parametrize("levels", [3, 10, 1000])
def test_spearman_agrees_with_scipy_ties_included(levels):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-levels, levels, (8, 40)).astype(float), rng.integers(-levels, levels, (8, 40)).astype(float)
    b[:4] = a[:4] + rng.normal(size=(4, 40)).round()
    theirs = [scipy.stats.spearmanr(u, v).statistic for u, v in zip(a, b, strict=True)]
    ours = METRICS["spearman"].compare(pairs(torch.tensor(a), torch.tensor(b)))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-14)


def test_spearman_sees_order_and_nothing_else():
    a = normal(3, 20)
    torch.testing.assert_close(
        METRICS["spearman"].compare(pairs(a, a.exp())), torch.ones(3).double(), atol=1e-15, rtol=0
    )


def test_top_k_counts_the_tenth_of_largest_magnitude():
    a = torch.arange(30, dtype=torch.float64).reshape(1, 30)  # top three: 27, 28, 29
    b = a.clone()
    b[0, 29] = 0.0
    b[0, 0] = -100.0
    assert METRICS["top_k_overlap"].compare(pairs(a, b)).item() == pytest.approx(2 / 3, abs=1e-15)


def test_top_k_is_at_least_one_feature():
    assert METRICS["top_k_overlap"].compare(pairs(row(3.0, 1.0), row(2.0, 1.0))).item() == 1
    assert METRICS["top_k_overlap"].compare(pairs(row(3.0, 1.0), row(1.0, 2.0))).item() == 0


def test_relative_l2_of_known_maps():
    assert METRICS["relative_l2"].compare(pairs(row(3.0, 0.0), row(0.0, 4.0))).item() == pytest.approx(5 / 4)
    assert METRICS["relative_l2"].compare(pairs(row(3.0, 4.0), row(-3.0, -4.0))).item() == pytest.approx(2)


def test_relative_l2_bounds_the_angle():
    a = normal(500, 4)
    b = a + normal(500, 4, seed=1) * torch.logspace(-3, 1, 500).double().unsqueeze(1)
    angle = 1 - METRICS["cosine"].compare(pairs(a, b))
    assert bool((angle <= 2 * METRICS["relative_l2"].compare(pairs(a, b)).square() + 1e-15).all())


def test_a_flip_is_a_changed_class():
    f = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    g = torch.tensor([[5.0, 9.0], [2.0, 1.0]], dtype=torch.float64)
    a = normal(2, 3)
    assert METRICS["flip_rate"].compare(pairs(a, a, f, g)).tolist() == [0, 1]
    assert METRICS["flip_rate"].compare(pairs(a, a, f[:, :1], -f[:, :1])).tolist() == [1, 1]
    assert METRICS["flip_rate"].compare(pairs(a, a, f[:, :1], 2 * f[:, :1])).tolist() == [0, 0]
