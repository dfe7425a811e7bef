"""Traces and quadrature: exact where theory says so, and covering the truth as often as they say elsewhere."""

import pytest
import torch

from eigengate.estimators import SpectralMeasure, block_trace, hutchpp, slq
from eigengate.estimators._tridiagonal import tridiagonalize
from eigengate.estimators.quadrature_rules import QuadratureRules
from eigengate.operators import DenseOperator
from tests.support.spectra import decaying, symmetric


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("count", [0, 4, -3])
def test_hutchpp_refuses_a_budget_that_does_not_divide(count):
    with pytest.raises(ValueError, match=f"num_products={count} must be a positive multiple of 3"):
        hutchpp(symmetric(decaying(5)), num_products=count, generator=generator())


def test_slq_is_exact_in_every_moment_at_full_depth():
    # The scout converges to every eigenvalue, and nothing is left for the probe vectors.
    measure = slq(symmetric(decaying(10)), num_steps=10, num_samples=3, generator=generator())
    for power in (0, 1, 2, 3):
        estimate = measure.integrate(lambda t, power=power: t**power)
        assert estimate.value == pytest.approx(float((decaying(10) ** power).sum()), rel=1e-9)
        assert estimate.stderr < 1e-9


def test_slq_takes_outliers_out_of_the_error():
    A = symmetric(torch.cat([torch.tensor([1e4, -1e3]), torch.linspace(0, 1, 60)]))
    estimate = slq(A, num_steps=16, num_samples=4, generator=generator()).integrate(lambda t: t)
    # What is left has Σλ² = 20 and so, with four probe vectors, a standard deviation near (2·5/4)^½ about its mean.
    assert 0.5 < estimate.stderr < 3
    assert estimate.value == pytest.approx(9030, abs=4 * estimate.stderr)


def test_slq_says_how_many_probe_vectors_are_done_and_counts_products():
    seen = []
    A = symmetric(torch.linspace(-1, 2, 40))
    measure = slq(A, num_steps=5, num_samples=3, generator=generator(), on_probe=lambda *at: seen.append(at))
    assert seen == [(1, 4), (4, 4)]
    assert measure.num_products == 4 * 5


def test_slq_of_an_operator_that_is_not_finite_is_non_finite():
    A = DenseOperator(torch.full((9, 9), torch.nan, dtype=torch.float64), self_adjoint=True)
    estimate = slq(A, num_steps=3, num_samples=2, generator=generator()).integrate(torch.abs)
    assert (estimate.outcome, estimate.interval) == ("non_finite", None)


def test_the_error_of_an_integral_is_that_of_probe_vectors_without_a_direction():
    # Every eigenvalue known, weighted as the mean over all directions weights it: only the formula is at work.
    eigenvalues = torch.linspace(-1, 3, 20, dtype=torch.float64)
    estimate = measure_of(eigenvalues.expand(1, 4, 20)).integrate(lambda t: t)
    z = torch.randn(20, 200_000, dtype=torch.float64, generator=generator())
    forms = eigenvalues @ (20**0.5 * z / z.norm(dim=0)).square()
    # The sample standard deviation of 2e5 draws is known to about 0.2 %.
    assert estimate.stderr == pytest.approx(float(forms.std()) / 2, rel=0.01)


def measure_of(nodes, *, plain=None, weight=1.0):
    nothing = torch.zeros(0, dtype=torch.float64)
    rules = [QuadratureRules(p, torch.full_like(p, weight)) for p in (nodes, nodes if plain is None else plain)]
    return SpectralMeasure(*rules, nothing, nothing, 0)


def test_truncation_counts_a_quarter_of_the_range_of_plain_rules():
    nodes = torch.tensor([1.0, 1.2, 0.9], dtype=torch.float64).reshape(3, 1, 1)
    plain = torch.tensor([1.0, 1.4, 0.9], dtype=torch.float64).reshape(3, 1, 1)
    estimate = measure_of(nodes, plain=plain, weight=5.0).integrate(lambda t: t)
    assert estimate.value == pytest.approx(5 * 3.1 / 3)
    # Each node of a depth of its own is the whole spectrum there, so that the probe vector adds its own spread.
    stochastic = 2 * 5 / 7 * 5 * float(nodes.var(unbiased=False))
    assert estimate.stderr**2 == pytest.approx(stochastic + (5 * 0.5 / 4) ** 2)


def test_averaged_rules_integrate_polynomials_exactly_and_kinks_better():
    A = symmetric(torch.linspace(-1, 2, 200))
    starts = torch.randn(200, 30, dtype=torch.float64, generator=generator())
    starts = starts / starts.norm(dim=0)
    values, vectors = torch.linalg.eigh(A.matrix)
    measures = (vectors.mT @ starts).square().mT
    result = tridiagonalize(A, starts, num_steps=12)
    errors = {}
    for name, (nodes, weights) in {"averaged": result.averaged_rules([12]), "plain": result.gauss_rules([12])}.items():
        for power in range(24):
            torch.testing.assert_close((weights * nodes**power).sum(-1)[0], measures @ values**power, rtol=1e-9, atol=0)
        errors[name] = float(((weights * nodes.abs()).sum(-1)[0] - measures @ values.abs()).square().mean())
    assert errors["averaged"] < 0.7 * errors["plain"]


def test_the_measure_of_a_constant_has_no_error():
    measure = slq(symmetric(decaying(30)), num_steps=6, num_samples=2, generator=generator())
    estimate = measure.integrate(torch.ones_like)
    assert estimate.value == pytest.approx(30, rel=1e-12)
    assert estimate.stderr < 1e-12


def test_tridiagonalization_satisfies_its_defining_identity():
    A = symmetric(torch.linspace(-1, 2, 30))
    starts = torch.randn(30, 2, dtype=torch.float64, generator=generator())
    units = starts / starts.norm(dim=0)
    result = tridiagonalize(A, units, num_steps=8)
    # T = QᵀAQ on the Krylov space: its moments are the start vector's up to degree 2·8 − 1.
    for unit, T, Q in zip(units.unbind(1), result.matrix, result.basis, strict=True):
        torch.testing.assert_close(Q @ A.matrix @ Q.mT, T, rtol=0, atol=1e-12)
        for power in range(16):
            expected = unit @ torch.linalg.matrix_power(A.matrix, power) @ unit
            assert float(torch.linalg.matrix_power(T, power)[0, 0]) == pytest.approx(float(expected), rel=1e-10)


def test_tridiagonalization_stops_where_every_start_lies_in_an_invariant_subspace():
    A = symmetric(torch.tensor([2.0] * 5 + [1.0] * 5))
    result = tridiagonalize(A, torch.full((10, 1), 10**-0.5, dtype=torch.float64), num_steps=10)
    assert result.matrix.shape == (1, 2, 2)
    assert result.coupling.tolist() == [0.0]


def test_a_start_that_is_exhausted_early_keeps_its_exact_rule():
    A = DenseOperator(torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64)), self_adjoint=True)
    starts = torch.stack([torch.full((8,), 8**-0.5), torch.eye(8)[2]], dim=1).double()
    theta, shares = tridiagonalize(A, starts, num_steps=6).gauss_rules([6, 5, 4, 3])
    torch.testing.assert_close((theta * shares).sum(dim=2)[:, 1], torch.full((4,), 3.0, dtype=torch.float64))
    torch.testing.assert_close((theta**4 * shares).sum(dim=2)[:, 1], torch.full((4,), 81.0, dtype=torch.float64))


def test_block_probes_do_not_see_what_lies_off_the_diagonal_blocks():
    matrix = torch.randn(9, 9, dtype=torch.float64, generator=generator())
    matrix = matrix + matrix.mT
    for first, last in ((0, 4), (4, 9)):
        matrix[first:last, first:last] = torch.diag(torch.arange(1.0, last - first + 1))
    estimate = block_trace(DenseOperator(matrix, self_adjoint=True), sizes=[4, 5], num_samples=3, generator=generator())
    assert estimate.value == pytest.approx(10 + 15)
    assert estimate.stderr < 1e-12


def test_blocks_that_do_not_fill_the_operator_are_refused():
    with pytest.raises(ValueError, match=r"sizes \[2, 2\] do not fill an operator of shape \(5, 5\)"):
        block_trace(symmetric(decaying(5)), sizes=[2, 2], num_samples=2, generator=generator())
