"""The area under a curve over log noise size, and the error of a mean over draws."""

import math

import pytest
import torch

from eigengate.attribution import RobustnessCurve, draw_interval, nearest
from tests.support.attribution_subjects import normal

SIZES = (0.01, 0.02, 0.05, 0.1, 0.2)


def curve(scores: torch.Tensor) -> RobustnessCurve:
    return RobustnessCurve("saliency", SIZES, {"cosine": scores}, torch.zeros(len(scores), dtype=torch.bool))


def test_a_constant_curve_has_its_value_as_area():
    area = curve(torch.full((3, 2, 5), 0.7, dtype=torch.float64)).area("cosine")
    torch.testing.assert_close(area, torch.full((3, 2), 0.7, dtype=torch.float64), atol=1e-15, rtol=0)


def test_a_curve_that_falls_with_the_logarithm_of_size_has_its_middle_as_area():
    log = torch.tensor([math.log(size) for size in SIZES], dtype=torch.float64)
    falling = (log[-1] - log) / (log[-1] - log[0])  # 1 at the smallest size, 0 at the largest
    assert curve(falling.expand(1, 1, 5)).area("cosine").item() == pytest.approx(0.5, abs=1e-15)


def test_means_run_over_samples_and_draws():
    scores = normal(3, 2, 5)
    torch.testing.assert_close(curve(scores).mean("cosine"), scores.reshape(6, 5).mean(dim=0))


def test_the_nearest_size_is_nearest_by_factor():
    assert nearest(SIZES, 0.1) == 3
    assert nearest((0.01, 1.0), 0.11) == 1  # a factor of 9 up, of 11 down


def test_one_draw_says_nothing_about_its_error():
    assert draw_interval(normal(5, 1)) is None


def test_draws_that_agree_leave_no_width():
    interval = draw_interval(torch.tensor([[0.5, 0.5], [1.0, 1.0]], dtype=torch.float64))
    assert interval is not None
    assert (interval.low, interval.high) == (0.75, 0.75)


def test_the_draw_interval_covers_the_truth_as_often_as_it_says():
    # True means 0 … 4 per sample, standard deviations 1 … 5: the mean over samples is 2.
    generator = torch.Generator().manual_seed(0)
    levels = torch.arange(5, dtype=torch.float64).unsqueeze(1)
    hits = 0
    for _ in range(1000):
        scores = levels + (levels + 1) * torch.randn(5, 8, generator=generator, dtype=torch.float64)
        interval = draw_interval(scores)
        assert interval is not None
        hits += interval.low <= 2 <= interval.high
    assert 0.95 - 4 * 0.0069 <= hits / 1000 <= 0.95 + 4 * 0.0069  # four standard errors of 1000 trials
