"""Spectra of many matrices from products, against their singular values."""

from dataclasses import replace

import pytest
import torch

from eigengate.estimators import Spectra, singular_summaries
from eigengate.estimators.sample_estimates import SampleEstimates
from eigengate.estimators.sample_spectra import EstimatedSpectra, KrylovEffort, SampleDraws
from tests.support.sample_matrices import DenseGrams, with_singular_values
from tests.support.spectra import decaying

C, COLUMNS, SEEDS = 60, 80, 40
# A few strong directions and a slow tail, a fast decay, and a flat spectrum with one outlier.
SHAPES = (0.5 * decaying(C, 0.99) + decaying(C, 0.3), decaying(C, 0.8), 0.1 + decaying(C, 0.01))
EFFORT = KrylovEffort(block=3, tolerance=1e-3, steps=4, probes=6, depth=3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def several() -> DenseGrams:
    return with_singular_values(*SHAPES, columns=COLUMNS)


def estimated(grams: DenseGrams, effort: KrylovEffort = EFFORT, seed: int = 0) -> EstimatedSpectra:
    return EstimatedSpectra.of(grams, effort, SampleDraws.of(*grams.shape, effort, generator(seed)))


def truth(grams: DenseGrams) -> dict[str, torch.Tensor]:
    exact = Spectra.of_grams(grams.M @ grams.M.mT, columns=grams.columns, dtype=torch.float64)
    return singular_summaries(exact)


def test_intervals_of_means_cover_them():
    grams, hits = several(), dict[str, int]()
    expected = {name: float(values.mean()) for name, values in truth(grams).items()}
    for seed in range(SEEDS):
        for name, found in estimated(grams, seed=seed).summaries().items():
            interval = found.mean_interval()
            assert interval is not None
            # Rounding of the bases, where an end is a Ritz value that has converged to the last digits.
            slack = 1e-9 * expected[name]
            hits[name] = hits.get(name, 0) + (interval.low - slack <= expected[name] <= interval.high + slack)
    # Fewer than 33 of 40 have probability 0.001 at 95 %.
    assert len(hits) == 7
    assert min(hits.values()) >= 33, hits


def test_intervals_are_narrow():
    summaries, expected = estimated(several()).summaries(), truth(several())
    for name, width in {"operator_norm": 1e-3, "frobenius_norm": 0.1, "spectral_entropy": 0.1}.items():
        interval = summaries[name].mean_interval()
        assert interval is not None
        assert interval.high - interval.low < width * float(expected[name].mean()), name


def test_the_leading_values_are_those_of_the_matrix():
    found = estimated(with_singular_values(decaying(C, 0.8), columns=COLUMNS))
    torch.testing.assert_close(found.leading[0, :5].sqrt(), decaying(C, 0.8)[:5], rtol=1e-4, atol=0)


def test_a_krylov_space_that_is_everything_is_exact():
    grams = with_singular_values(decaying(9, 0.7), decaying(9, 0.2), columns=12)
    expected = truth(grams)
    for name, found in estimated(grams).summaries().items():
        torch.testing.assert_close(found.value, expected[name], rtol=1e-9, atol=0)
        torch.testing.assert_close(found.low, found.high, rtol=1e-9, atol=0)
        assert float(found.variances.max()) < 1e-18


def test_a_matrix_of_low_rank_is_exact_without_its_space_being_everything():
    sigma = torch.zeros(C, dtype=torch.float64)
    sigma[:6] = decaying(6, 0.5)
    grams = with_singular_values(sigma, columns=COLUMNS)
    expected = truth(grams)
    for name, found in estimated(grams, replace(EFFORT, tolerance=0.0)).summaries().items():
        torch.testing.assert_close(found.value, expected[name], rtol=1e-6, atol=0)


def test_the_trace_is_unbiased_however_poor_the_leading_part():
    grams, poor = several(), KrylovEffort(block=1, tolerance=1e-3, steps=1, probes=4, depth=4)
    exact = grams.M.square().sum(dim=(1, 2))
    totals = torch.stack([estimated(grams, poor, seed).total.value for seed in range(60)])
    error = (totals.mean(dim=0) - exact).abs() / (totals.std(dim=0) / 60**0.5)
    # Four standard errors in three samples: once in 2000 choices of seeds.
    assert float(error.max()) < 4


def test_truncation_is_bracketed_probe_by_probe():
    grams = several()
    whole = replace(EFFORT, steps=1, depth=1)
    found = estimated(grams, whole)
    assert bool((found.entropy.low <= found.entropy.high).all())
    deep = estimated(grams, replace(whole, depth=8))
    # The same probes: what truncation leaves open shrinks around what deeper spaces find.
    slack = 1e-9  # rounding
    assert bool((deep.entropy.value >= found.entropy.low - slack).all())
    assert bool((deep.entropy.value <= found.entropy.high + slack).all())
    assert float((deep.entropy.high - deep.entropy.low).max()) < 0.05 * float(
        (found.entropy.high - found.entropy.low).max()
    )


def test_zero_and_infinite_matrices_are_outcomes_and_leave_the_others_alone():
    M = several().M
    alone = estimated(DenseGrams(M[:1]))
    M[1], M[2, 3, 4] = 0.0, torch.inf
    found = estimated(DenseGrams(M))
    assert found.outcomes == ("ok", "not_applicable", "non_finite")
    assert found.entropy.value.isnan().tolist() == [False, True, True]
    assert float(found.total.value[1]) == 0
    # The first sample's draws are the first in both.
    assert float(found.entropy.value[0]) == pytest.approx(float(alone.entropy.value[0]), rel=0.1)


def test_no_convergence_is_said():
    sigma = 1 + 1e-3 * decaying(C, 0.99)
    found = estimated(with_singular_values(sigma, columns=COLUMNS), replace(EFFORT, tolerance=1e-9))
    assert found.outcomes == ("not_converged",)


def test_same_generator_same_digits():
    first, again, other = (estimated(several(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.entropy.value, again.entropy.value)
    assert not torch.equal(first.entropy.value, other.entropy.value)


def test_single_precision_products_suffice():
    # Not the flat spectrum: where a Krylov space has nothing left to find, rounding chooses its directions.
    grams = with_singular_values(*SHAPES[:2], columns=COLUMNS)
    single, double = estimated(DenseGrams(grams.M.float())), estimated(grams)
    for name in ("operator_norm", "frobenius_norm", "spectral_entropy"):
        # Products carry about eps·√C = 1e-6 of rounding; a choice of head that tips over would show as percent.
        torch.testing.assert_close(
            single.summaries()[name].value, double.summaries()[name].value, rtol=1e-4, atol=0, msg=name
        )


def test_monotone_functions_keep_ends_in_order():
    one = torch.ones(2, dtype=torch.float64)
    estimates = SampleEstimates(2 * one, one, 3 * one, torch.stack([one, 3 * one], dim=1))
    inverse = estimates.mapped(torch.reciprocal)
    assert inverse.low.tolist() == [pytest.approx(1 / 3)] * 2
    assert inverse.high.tolist() == [1.0, 1.0]
