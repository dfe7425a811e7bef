"""Extreme eigenvalues: against prescribed spectra, with honest residuals and honest failure."""

import pytest
import torch

from eigengate.estimators import Ends, lanczos
from eigengate.estimators._outer_bounds import OuterBounds
from eigengate.operators import DenseOperator
from tests.support.spectra import decaying, symmetric


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread_spectrum() -> torch.Tensor:
    inner = torch.linspace(-0.5, 0.5, 117, dtype=torch.float64)
    return torch.cat([torch.tensor([5.0, 4.5, -3.0], dtype=torch.float64), inner])


def run(A, *, ends=Ends(), start=None, tolerance=1e-9, max_products=600, max_basis=60, seed=0):  # noqa: B008
    return lanczos(
        A,
        ends=ends,
        start=start,
        tolerance=tolerance,
        max_products=max_products,
        max_basis=max_basis,
        generator=generator(seed),
    )


@pytest.mark.parametrize("max_basis", [200, 20], ids=["one basis", "with restarts"])
def test_both_ends_are_found(max_basis):
    pairs = run(symmetric(spread_spectrum()), ends=Ends(2, 1), max_basis=max_basis)
    assert pairs.outcome == "ok"
    assert pairs.largest.values.tolist() == pytest.approx([5.0, 4.5], rel=1e-12)
    assert pairs.smallest.values.tolist() == pytest.approx([-3.0], rel=1e-12)


def test_residuals_are_what_they_say():
    A = symmetric(spread_spectrum())
    pairs = run(A, ends=Ends(2, 1), tolerance=1e-3)
    for end in (pairs.largest, pairs.smallest):
        true = (A @ end.vectors - end.vectors * end.values).norm(dim=0)
        torch.testing.assert_close(end.residuals, true, rtol=1e-6, atol=1e-12)
        assert (end.vectors.mT @ end.vectors - torch.eye(len(end.values))).abs().max() < 1e-12


def test_the_whole_spectrum_comes_out_at_full_depth():
    eigenvalues = decaying(12)
    pairs = run(symmetric(eigenvalues), ends=Ends(12, 0), max_basis=100)
    torch.testing.assert_close(pairs.largest.values, eigenvalues, rtol=0, atol=1e-12)


def test_a_repeated_largest_eigenvalue_is_found_in_a_low_rank_matrix():
    eigenvalues = torch.zeros(40, dtype=torch.float64)
    eigenvalues[:3] = 2.0
    pairs = run(symmetric(eigenvalues), ends=Ends(1, 1))
    assert float(pairs.largest.values[0]) == pytest.approx(2.0)
    assert float(pairs.smallest.values[0]) == pytest.approx(0.0, abs=1e-12)


def test_a_start_at_an_inner_eigenvector_does_not_hide_the_outer_one():
    A = symmetric(spread_spectrum())
    inner = torch.linalg.eigh(A.matrix).eigenvectors[:, -2]
    assert float(run(A, start=inner, tolerance=1e-2).largest.values[0]) == pytest.approx(5.0, rel=1e-3)


@pytest.mark.parametrize("hidden", [5.0, -3.0], ids=["top", "bottom"])
def test_a_start_orthogonal_to_an_outer_eigenvector_does_not_hide_it(hidden):
    A = symmetric(spread_spectrum())
    values, vectors = torch.linalg.eigh(A.matrix)
    start = vectors[:, (values - 4.5).abs().argmin()]
    outer = vectors[:, (values - hidden).abs().argmin()]
    start = start - (start @ outer) * outer
    for seed in range(20):
        pairs = run(A, ends=Ends(1, 1), start=start, tolerance=1e-2, seed=seed)
        assert float(pairs.largest.values[0]) == pytest.approx(5.0, rel=1e-3)
        assert float(pairs.smallest.values[0]) == pytest.approx(-3.0, rel=1e-3)


def test_outer_bounds_hold_as_often_as_they_say_and_tell_something():
    # A barely separated end, which two products more would still not show.
    eigenvalues = torch.cat([torch.tensor([1.0]), torch.linspace(-0.5, 0.97, 999)]).double()
    A = DenseOperator(torch.diag(eigenvalues), self_adjoint=True)
    bounds = [run(A, max_products=7, tolerance=1e-9, seed=seed).bounds for seed in range(300)]
    # Each is missed by at most 2.5 % of the starts: 7.5 ± 2.7 of 300.
    assert sum(b.upper < 1.0 for b in bounds) <= 16
    assert sum(b.lower > -0.5 for b in bounds) <= 16
    assert max(b.upper for b in bounds) < 4.0


def test_outer_bounds_are_the_crossing_of_the_lanczos_polynomial():
    bounds = OuterBounds(overlap=0.1).after(torch.tensor([2.0], dtype=torch.float64), 3.0)
    assert (bounds.lower, bounds.upper) == pytest.approx((2 - 30, 2 + 30))
    bounds = bounds.after(torch.tensor([-1.0, 1.0], dtype=torch.float64), 0.5)
    # (μ² − 1) = 3 · 0.5 / 0.1
    assert (bounds.lower, bounds.upper) == pytest.approx((-4.0, 4.0))
    invariant = bounds.after(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), 0.0)
    assert (invariant.lower, invariant.upper) == (-1.0, 1.0)
    assert invariant.after(torch.tensor([5.0], dtype=torch.float64), 1.0) == invariant


def test_outliers_are_found_within_a_few_products():
    bulk = 0.1 * torch.randn(1990, dtype=torch.float64, generator=generator(5))
    A = DenseOperator(torch.diag(torch.cat([10.0 / torch.arange(1, 11).double(), bulk])), self_adjoint=True)
    pairs = run(A, tolerance=1e-3)
    assert float(pairs.largest.values[0]) == pytest.approx(10.0, rel=1e-5)
    assert pairs.num_products <= 8


def test_a_good_start_saves_products():
    A = symmetric(torch.cat([torch.tensor([1.0005]), torch.linspace(-1, 1, 400)]))
    top = torch.linalg.eigh(A.matrix).eigenvectors[:, -1]
    from_top, from_noise = (run(A, start=start, tolerance=1e-6, max_basis=300) for start in (top, None))
    assert from_top.outcome == from_noise.outcome == "ok"
    assert from_top.num_products < from_noise.num_products


def test_running_out_of_products_is_said_and_the_residual_still_bounds_the_error():
    A = symmetric(torch.linspace(-1, 1, 300))
    pairs = run(A, tolerance=1e-9, max_products=9)
    assert pairs.outcome == "not_converged"
    eigenvalues = torch.linspace(-1, 1, 300, dtype=torch.float64)
    assert (eigenvalues - pairs.largest.values[0]).abs().min() <= pairs.largest.residuals[0]


def test_a_matrix_with_nan_is_non_finite_and_has_no_interval():
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 0] = torch.nan
    pairs = run(DenseOperator(matrix, self_adjoint=True))
    assert pairs.outcome == "non_finite"
    assert pairs.largest.interval() is None


def test_the_zero_matrix_has_eigenvalue_zero():
    pairs = run(DenseOperator(torch.zeros(5, 5, dtype=torch.float64), self_adjoint=True), ends=Ends(1, 1))
    assert pairs.outcome == "ok"
    assert float(pairs.largest.values[0]) == 0.0


def test_a_one_by_one_matrix_has_its_entry():
    pairs = run(DenseOperator(torch.tensor([[3.0]], dtype=torch.float64), self_adjoint=True), ends=Ends(1, 1))
    assert float(pairs.largest.values[0]) == float(pairs.smallest.values[0]) == 3.0


def test_float32_products_reach_float32_accuracy():
    A = symmetric(spread_spectrum())
    pairs = run(DenseOperator(A.matrix.float(), self_adjoint=True), tolerance=1e-5)
    assert float(pairs.largest.values[0]) == pytest.approx(5.0, rel=1e-6)
