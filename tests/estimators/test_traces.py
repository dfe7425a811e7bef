"""Traces and quadrature: exact where theory says so, and covering the truth as often as they say elsewhere."""

import pytest
import torch

from eigengate.estimators import SpectralMeasure, block_trace, hutchpp, slq
from eigengate.estimators._slq import tridiagonalize
from eigengate.operators import DenseOperator
from tests.support.spectra import decaying, symmetric


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covers(estimate, truth: float) -> bool:
    assert estimate.interval is not None
    return estimate.interval.low <= truth <= estimate.interval.high


def test_hutchpp_is_exact_up_to_a_third_of_its_products_in_rank():
    eigenvalues = torch.zeros(50, dtype=torch.float64)
    eigenvalues[:5] = torch.tensor([3.0, -1.0, 0.5, 2.0, 4.0])
    estimate = hutchpp(symmetric(eigenvalues), num_products=15, generator=generator())
    assert estimate.value == pytest.approx(8.5, rel=1e-10)
    assert estimate.stderr < 1e-10


def test_hutchpp_gives_the_exact_trace_when_products_outnumber_columns():
    estimate = hutchpp(symmetric(decaying(5)), num_products=30, generator=generator())
    assert estimate.value == pytest.approx(float(decaying(5).sum()), rel=1e-12)
    assert (estimate.stderr, estimate.num_products) == (0.0, 5)


def test_hutchpp_intervals_cover_the_trace_as_often_as_they_say():
    A = symmetric(torch.linspace(-1, 2, 60))
    truth = float(A.matrix.trace())
    hits = sum(covers(hutchpp(A, num_products=30, generator=generator(seed)), truth) for seed in range(400))
    # 95 % of 400 is 380 ± 4.4; three standard deviations below, and a little for the non-normal tails.
    assert 362 <= hits <= 396


@pytest.mark.parametrize("count", [0, 4, -3])
def test_hutchpp_refuses_a_budget_that_does_not_divide(count):
    with pytest.raises(ValueError, match=f"num_products={count} must be a positive multiple of 3"):
        hutchpp(symmetric(decaying(5)), num_products=count, generator=generator())


def test_slq_is_exact_in_every_moment_at_full_depth_for_a_constant_diagonal():
    # Rademacher probes see the diagonal of f(A) exactly; for a diagonal A that is the whole trace.
    A = DenseOperator(torch.diag(decaying(10)), self_adjoint=True)
    measure = slq(A, num_steps=10, num_samples=3, generator=generator())
    for power in (0, 1, 2, 3):
        estimate = measure.integrate(lambda t, power=power: t**power)
        assert estimate.value == pytest.approx(float((decaying(10) ** power).sum()), rel=1e-9)
        assert estimate.stderr < 1e-9


def test_slq_intervals_cover_the_entropy_of_a_spectrum():
    eigenvalues = torch.linspace(0.1, 1, 40, dtype=torch.float64)
    A, truth = symmetric(eigenvalues), float((eigenvalues * eigenvalues.log()).sum())
    hits = sum(
        covers(slq(A, num_steps=12, num_samples=8, generator=generator(seed)).integrate(lambda t: t * t.log()), truth)
        for seed in range(120)
    )
    # 114 ± 2.4 expected.
    assert 105 <= hits <= 120


def test_the_jackknife_of_a_linear_statistic_is_the_standard_error_of_the_mean():
    nodes = torch.rand(6, 4, dtype=torch.float64, generator=generator())
    measure = SpectralMeasure(nodes, torch.ones_like(nodes), 0)
    estimate = measure.integrate(lambda t: t)
    per_probe = nodes.sum(dim=1)
    assert estimate.value == pytest.approx(float(per_probe.mean()))
    assert estimate.stderr == pytest.approx(float(per_probe.std() / 6**0.5))


def test_a_single_probe_has_no_interval():
    measure = slq(symmetric(decaying(6)), num_steps=3, num_samples=1, generator=generator())
    assert measure.integrate(torch.abs).interval is None


def test_tridiagonalization_satisfies_its_defining_identity():
    A = symmetric(torch.linspace(-1, 2, 30))
    start = torch.randn(30, dtype=torch.float64, generator=generator())
    T = tridiagonalize(A, start, num_steps=8)
    # T = QᵀAQ on the Krylov space: its moments are the start vector's up to degree 2·8 − 1.
    unit = start / start.norm()
    for power in range(16):
        expected = unit @ torch.linalg.matrix_power(A.matrix, power) @ unit
        assert float(torch.linalg.matrix_power(T, power)[0, 0]) == pytest.approx(float(expected), rel=1e-10)


def test_tridiagonalization_stops_in_an_invariant_subspace():
    A = symmetric(torch.tensor([2.0] * 5 + [1.0] * 5))
    assert tridiagonalize(A, torch.ones(10, dtype=torch.float64), num_steps=10).shape == (2, 2)


def test_block_probes_do_not_see_what_lies_off_the_diagonal_blocks():
    matrix = torch.randn(9, 9, dtype=torch.float64, generator=generator())
    matrix = matrix + matrix.mT
    for first, last in ((0, 4), (4, 9)):
        matrix[first:last, first:last] = torch.diag(torch.arange(1.0, last - first + 1))
    estimate = block_trace(DenseOperator(matrix, self_adjoint=True), sizes=[4, 5], num_samples=3, generator=generator())
    assert estimate.value == pytest.approx(10 + 15)
    assert estimate.stderr < 1e-12


def test_block_trace_intervals_cover_the_trace_as_often_as_they_say():
    A = symmetric(torch.linspace(-1, 2, 24))
    truth = float(A.matrix.trace())
    hits = sum(
        covers(block_trace(A, sizes=[10, 14], num_samples=6, generator=generator(seed)), truth) for seed in range(300)
    )
    # 285 ± 3.8 expected.
    assert 270 <= hits <= 298


def test_blocks_that_do_not_fill_the_operator_are_refused():
    with pytest.raises(ValueError, match=r"sizes \[2, 2\] do not fill an operator of shape \(5, 5\)"):
        block_trace(symmetric(decaying(5)), sizes=[2, 2], num_samples=2, generator=generator())
