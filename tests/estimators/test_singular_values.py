"""Norms and low-rank parts of rectangular matrices."""

import pytest
import torch

from eigengate.estimators import randomized_svd, spectral_norm
from eigengate.operators import DenseOperator
from tests.support.spectra import decaying, orthogonal


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rectangular(singular_values: torch.Tensor, columns: int) -> DenseOperator:
    r = len(singular_values)
    return DenseOperator(orthogonal(r, seed=1) @ torch.diag(singular_values) @ orthogonal(columns, seed=2)[:r])


@pytest.mark.parametrize("flipped", [False, True])
def test_the_spectral_norm_is_the_largest_singular_value(flipped):
    A = rectangular(decaying(8, 0.9), 20)
    norm = spectral_norm(A.adjoint() if flipped else A, tolerance=1e-8, max_products=100, generator=generator())
    assert norm.outcome == "ok"
    assert norm.value == pytest.approx(1.0, rel=1e-12)
    assert norm.interval is not None
    assert norm.interval.low <= 1.0 <= norm.interval.high


def test_randomized_svd_finds_the_leading_triplets():
    A = rectangular(decaying(30, 0.6), 40)
    part = randomized_svd(A, rank=5, generator=generator())
    torch.testing.assert_close(part.S, decaying(30, 0.6)[:5], rtol=1e-8, atol=0)
    approximation = part.U @ torch.diag(part.S) @ part.V.mT
    error = float(torch.linalg.matrix_norm(A.matrix - approximation, ord=2))
    assert error <= part.residual + 0.6**5


def test_randomized_svd_is_exact_within_its_width():
    A = rectangular(decaying(4), 9)
    part = randomized_svd(A, rank=4, generator=generator())
    torch.testing.assert_close(part.U @ torch.diag(part.S) @ part.V.mT, A.matrix, rtol=0, atol=1e-12)
    assert part.residual < 1e-12
