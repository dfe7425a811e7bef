"""Over 500 seeds 95 % intervals cover the dense truth as often as they say, on spectra that make it hard.

500 draws at 95 % have a standard deviation of 1 %. One matrix is held to three of them, and a quantity over all its
matrices to 93-97 %. Where the answer is exact but for a hundred-thousandth, its error counts and not its coverage.
"""

from functools import cache

import pytest
import torch

from eigengate.estimators import hutchpp, slq
from tests.support.covered_matrices import jacobians, operators
from tests.support.interval_coverage import (
    DENSITY,
    Coverage,
    block_coverage,
    density_coverage,
    generators,
    hutchpp_coverage,
    kernel_coverage,
    mean_coverage,
    singular_coverage,
)

SEEN = ("network-like", "one huge", "Hessian", "H - GN", "ReLU Hessian", "larger ReLU Hessian", "larger GELU Hessian")
density = cache(lambda name: density_coverage(operators()[name][0]))
hutch = cache(lambda name: hutchpp_coverage(operators()[name][0]))
blocks = cache(lambda name: block_coverage(*operators()[name]))


def covers_as_often_as_it_says(coverage: Coverage) -> bool:
    return 0.92 <= coverage.share <= 0.98


def mean_share(coverages: list[Coverage]) -> float:
    random = [c.share for c in coverages if not c.nearly_exact]
    return sum(random) / len(random)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("quantity", DENSITY)
def test_quadrature_covers(name, quantity):
    coverage = density(name)[quantity]
    if coverage.nearly_exact:
        assert coverage.error <= 1e-5 * abs(coverage.truth)
    else:
        assert covers_as_often_as_it_says(coverage)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", DENSITY)
def test_quadrature_covers_over_all_matrices(quantity):
    assert 0.93 <= mean_share([density(name)[quantity] for name in SEEN]) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEEN, "flat", "geometric", "Gauss-Newton"])
def test_hutchpp_covers(name):
    assert covers_as_often_as_it_says(hutch(name))


@pytest.mark.slow
def test_hutchpp_covers_over_all_matrices():
    assert 0.93 <= mean_share([hutch(name) for name in (*SEEN, "flat", "geometric", "Gauss-Newton")]) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_block_probes_cover(name):
    assert covers_as_often_as_it_says(blocks(name))


@pytest.mark.slow
def test_block_probes_cover_over_all_matrices():
    assert 0.93 <= mean_share([blocks(name) for name in SEEN]) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", jacobians())
def test_the_norm_and_entropy_of_a_rectangular_matrix_are_covered(name):
    found = singular_coverage(jacobians()[name])
    assert all(covers_as_often_as_it_says(coverage) for coverage in found.values())
    assert 0.93 <= mean_share(list(found.values())) <= 0.97


def test_what_is_exact_has_no_width():
    A, _ = operators()["rank 12"]
    eigenvalues = torch.linalg.eigvalsh(A.matrix)
    for generator in generators(5):
        measure = slq(A, num_steps=24, num_samples=2, generator=generator)
        found = {"trace": hutchpp(A, num_products=48, generator=generator)}
        found |= {f"{name} by quadrature": measure.estimate(statistic) for name, statistic in DENSITY.items()}
        truths = {f"{name} by quadrature": f(eigenvalues, torch.ones(150).double()) for name, f in DENSITY.items()}
        for name, estimate in found.items():
            truth = float(truths.get(name, eigenvalues.sum()))
            assert estimate.value == pytest.approx(truth, rel=1e-12)
            assert estimate.interval.high - estimate.interval.low <= 1e-12 * abs(truth)


@pytest.mark.slow
@pytest.mark.parametrize(("population", "n"), [("lognormal, σ = 0.5", 16), ("lognormal, σ = 1", 32)])
def test_bootstrap_intervals_of_skewed_means_cover_nine_times_in_ten(population, n):
    # The quantiles of n skewed samples do not know their population's tail; 95 % is reached slowly.
    assert 0.9 <= mean_coverage(population, n) <= 0.98


@pytest.mark.slow
def test_jackknife_intervals_of_kernels_and_spreads_cover_nine_times_in_ten():
    assert all(0.9 <= share <= 0.98 for share in kernel_coverage(32).values())
