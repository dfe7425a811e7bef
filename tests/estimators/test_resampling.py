"""Sampling intervals: textbook cases, coverage over many draws, and no interval where none is honest."""

import math

import pytest
import torch
from scipy.stats import norm, t

from eigengate.estimators import bootstrap_mean_interval, influence_interval, jackknife_interval, log_jackknife_interval
from eigengate.estimators.resampling import wilson_interval
from eigengate.estimators.weighted_kernel import centred_alignment, kernel_functionals, reweighted
from eigengate.sweep import Spread

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [8, 32])
def test_bootstrap_intervals_cover_the_mean_as_often_as_they_say(n):
    draws = torch.randn(400, n, dtype=torch.float64, generator=generator(1))
    intervals = [bootstrap_mean_interval(sample, generator=generator(i)) for i, sample in enumerate(draws)]
    hits = sum(interval.low <= 0 <= interval.high for interval in intervals)
    # 380 ± 4.4 expected for 95 %; four standard deviations below.
    assert 362 <= hits <= 396


def test_one_value_has_no_interval():
    assert bootstrap_mean_interval(torch.ones(1), generator=generator()) is None
    assert jackknife_interval(lambda w: w.sum(), 1, device=CPU) is None


def test_the_jackknife_of_a_mean_is_students_interval():
    x = torch.randn(12, dtype=torch.float64, generator=generator())
    interval = jackknife_interval(lambda w: w @ x, 12, device=CPU)
    half = t.ppf(0.975, 11) * float(x.std()) / 12**0.5
    assert interval.low == pytest.approx(float(x.mean()) - half)
    assert interval.high == pytest.approx(float(x.mean()) + half)


def test_a_log_interval_has_positive_ends_around_the_value():
    x = torch.rand(12, dtype=torch.float64, generator=generator())
    interval = log_jackknife_interval(lambda w: w @ x, 12, device=CPU)
    assert 0 < interval.low < float(x.mean()) < interval.high


def test_influences_that_are_not_finite_give_no_interval():
    assert influence_interval(1.0, torch.tensor([math.nan, 0.0])) is None


def test_the_wilson_interval_has_width_where_all_succeed():
    interval = wilson_interval(10, 10)
    z2 = norm.ppf(0.975) ** 2
    assert interval.high == pytest.approx(1.0)
    assert interval.low == pytest.approx(10 / (10 + z2))


def test_equal_weights_leave_a_kernel_as_it_is():
    K = torch.rand(6, 6, dtype=torch.float64, generator=generator())
    torch.testing.assert_close(reweighted(K, torch.full((3,), 1 / 3, dtype=torch.float64)), K)


def test_dropping_a_sample_by_weight_is_dropping_its_rows():
    rows = torch.randn(5, 3, dtype=torch.float64, generator=generator())
    K = rows @ rows.mT
    weights = torch.tensor([0.25] * 4 + [0.0], dtype=torch.float64)
    kept = 5 / 4 * torch.linalg.eigvalsh(K[:4, :4])[-1]
    torch.testing.assert_close(kernel_functionals(K)["lambda_max"](weights), kept)


def test_kernel_intervals_cover_the_population_eigenvalue_as_often_as_they_say():
    # Linear kernel of N(0, diag(4, 1, 1)): λ_max(K)/n tends to 4.
    scale = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    hits, n = 0, 60
    for seed in range(200):
        x = scale * torch.randn(n, 3, dtype=torch.float64, generator=generator(seed))
        interval = log_jackknife_interval(kernel_functionals(x @ x.mT)["operator_norm"], n, device=CPU)
        hits += interval.low <= 4 * n <= interval.high
    # 190 ± 3.1 expected; heavy tails of squared normals cost a few per cent at this n.
    assert 176 <= hits <= 198


def test_alignment_is_one_with_the_targets_own_kernel_and_blind_to_offsets():
    y = torch.randn(6, 2, dtype=torch.float64, generator=generator())
    equal = torch.full((6,), 1 / 6, dtype=torch.float64)
    assert float(centred_alignment(y @ y.mT, y, equal)) == pytest.approx(1)
    assert float(centred_alignment(3 * (y @ y.mT) + 5, y, equal)) == pytest.approx(1)


def test_spread_is_the_root_mean_squared_distance_from_the_mean():
    x = torch.randn(7, 2, 3, dtype=torch.float64, generator=generator()) + 100
    spread = Spread.of(x)
    expected = float((x - x.mean(dim=0)).flatten(1).square().sum(dim=1).mean().sqrt())
    assert spread.value == pytest.approx(expected)
    assert float(spread.squared(torch.full((7,), 1 / 7, dtype=torch.float64))) == pytest.approx(expected**2)
    some = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0], dtype=torch.float64)
    two = Spread.of(x[:2]).value
    assert float(spread.squared(some)) == pytest.approx(two**2)
