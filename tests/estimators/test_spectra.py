"""Summaries of spectra: values known on paper, inequalities that always hold, and spectra that have no shape."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eigengate.estimators import Spectra, kernel_summaries, singular_summaries
from tests.support.spectra import orthogonal

positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)


def spectra_of(sigma: list[float], columns: int) -> Spectra:
    gram = torch.diag(torch.tensor(sigma, dtype=torch.float64) ** 2)
    return Spectra.of_grams(gram.unsqueeze(0), columns=columns, dtype=torch.float64)


def summaries(sigma: list[float], columns: int) -> dict[str, float]:
    return {name: float(value) for name, value in singular_summaries(spectra_of(sigma, columns)).items()}


def test_equal_singular_values_have_entropy_ln_r_and_rank_r():
    s = summaries([2.0] * 5, 9)
    assert s["spectral_entropy"] == pytest.approx(math.log(5))
    assert s["amplitude_entropy"] == pytest.approx(math.log(5))
    assert s["effective_rank"] == pytest.approx(5)
    assert s["stable_rank"] == pytest.approx(5)
    assert s["condition_number"] == pytest.approx(1)
    assert s["typical_gain"] == pytest.approx(2 * (5 / 9) ** 0.5)
    assert s["entropy_gain"] == pytest.approx(s["typical_gain"])


def test_two_singular_values_give_the_formulas_by_hand():
    s = summaries([3.0, 1.0], 4)
    p, q = (0.9, 0.1), (0.75, 0.25)
    assert s["operator_norm"] == pytest.approx(3)
    assert s["frobenius_norm"] == pytest.approx(10**0.5)
    assert s["stable_rank"] == pytest.approx(10 / 9)
    assert s["spectral_entropy"] == pytest.approx(-sum(w * math.log(w) for w in p))
    assert s["amplitude_entropy"] == pytest.approx(-sum(w * math.log(w) for w in q))
    assert s["condition_number"] == pytest.approx(3)


@settings(deadline=None)
@given(positive, st.integers(0, 5))
def test_typical_gain_is_at_most_entropy_gain_is_at_most_the_operator_norm(sigma, extra):
    s = summaries(sigma, len(sigma) + extra)
    slack = 1 + 1e-12
    assert s["typical_gain"] <= s["entropy_gain"] * slack
    assert s["entropy_gain"] <= s["operator_norm"] * slack
    assert s["stable_rank"] * slack >= 1
    assert s["stable_rank"] <= s["effective_rank"] * slack
    assert s["effective_rank"] <= len(sigma) * slack


@settings(deadline=None)
@given(positive, st.floats(1e-2, 1e2))
def test_entropies_and_ranks_do_not_see_scale(sigma, scale):
    before, after = summaries(sigma, 9), summaries([scale * s for s in sigma], 9)
    for name in ("spectral_entropy", "amplitude_entropy", "effective_rank", "stable_rank", "condition_number"):
        assert after[name] == pytest.approx(before[name], rel=1e-9, abs=1e-12)
    for name in ("operator_norm", "frobenius_norm", "typical_gain", "entropy_gain"):
        assert after[name] == pytest.approx(scale * before[name], rel=1e-9)


def test_a_single_direction_has_entropy_zero_and_not_minus_zero():
    s = summaries([2.0, 0.0, 0.0], 3)
    assert s["spectral_entropy"] == 0.0
    assert math.copysign(1, s["spectral_entropy"]) == 1
    assert s["condition_number"] == pytest.approx(1)


def test_the_condition_number_counts_only_the_numerical_rank():
    tiny = 1e-9  # below what a float64 Gram resolves
    assert summaries([1.0, 0.5, tiny], 5)["condition_number"] == pytest.approx(2)


def test_a_wide_gram_has_no_more_values_than_columns():
    Q = orthogonal(6)[:, :2]
    spectra = Spectra.of_grams((Q @ Q.mT).unsqueeze(0), columns=2, dtype=torch.float64)
    assert spectra.energies.shape == (1, 2)
    assert float(singular_summaries(spectra)["condition_number"]) == pytest.approx(1)


def test_zero_and_infinite_matrices_have_outcomes_and_spare_the_others():
    grams = torch.stack([torch.eye(2), torch.zeros(2, 2), torch.full((2, 2), torch.inf)]).double()
    spectra = Spectra.of_grams(grams, columns=3, dtype=torch.float64)
    assert spectra.outcomes == ("ok", "not_applicable", "non_finite")
    s = singular_summaries(spectra)
    assert s["operator_norm"][:2].tolist() == [1.0, 0.0]
    assert s["entropy_gain"][1] == 0.0
    for name in ("stable_rank", "spectral_entropy", "condition_number", "amplitude_entropy"):
        assert s[name].isnan().tolist() == [False, True, True]


def test_an_empty_spectrum_is_not_applicable():
    spectra = Spectra.of_grams(torch.zeros(2, 3, 3, dtype=torch.float64), columns=0, dtype=torch.float64)
    assert spectra.outcomes == ("not_applicable", "not_applicable")
    assert singular_summaries(spectra)["condition_number"].isnan().all()


def test_kernel_summaries_of_an_identity_are_known():
    spectra = Spectra.of_grams(3 * torch.eye(4, dtype=torch.float64).unsqueeze(0), columns=4, dtype=torch.float64)
    k = {name: float(value) for name, value in kernel_summaries(spectra).items()}
    assert k["operator_norm"] == pytest.approx(3)
    assert k["trace"] == pytest.approx(12)
    assert k["frobenius_norm"] == pytest.approx(6)
    assert k["dominance"] == pytest.approx(1)
    # λ/(λ+λ̄) = 1/2 for each.
    assert k["label_noise_gain"] == pytest.approx(0.25)


def test_label_noise_gain_of_one_dominant_eigenvalue_tends_to_one_over_n():
    spectra = Spectra.of_grams(torch.diag(torch.tensor([1.0, 0, 0, 0])).double()[None], columns=4, dtype=torch.float64)
    # λ̄ = 1/4: (1/4) (1/(1 + 1/4))².
    assert float(kernel_summaries(spectra)["label_noise_gain"]) == pytest.approx(0.16)
