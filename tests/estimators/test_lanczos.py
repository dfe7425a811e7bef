"""Extreme eigenvalues: against prescribed spectra, with honest residuals and honest failure."""

import pytest
import torch

from eigengate.estimators import Ends, lanczos
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
    inner = torch.linalg.eigh(A.matrix).eigenvectors[:, -2:-1]
    assert float(run(A, start=inner, tolerance=1e-2).largest.values[0]) == pytest.approx(5.0, rel=1e-3)


def test_a_good_start_saves_products():
    A = symmetric(torch.cat([torch.tensor([1.0005]), torch.linspace(-1, 1, 400)]))
    top = torch.linalg.eigh(A.matrix).eigenvectors[:, -1:]
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
