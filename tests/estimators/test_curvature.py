"""Dense and iterative views of one spectrum."""

import math
from dataclasses import dataclass
from typing import final

import pytest
import torch
from torch import Tensor

from eigengate.estimators.curvature import dense_curvature, iterative_curvature, quadrature, written_out_curvature
from eigengate.estimators.effort import Effort
from eigengate.operators import DenseOperator, LinearOperator, Signature
from tests.support.spectra import symmetric

EIGENVALUES = torch.cat(
    [torch.tensor([8.0, 5.0, -2.0]), 0.5 * torch.linspace(-1, 1, 97) ** 3, torch.zeros(60)]
).double()
TRUTH = {
    "lambda_max": 8.0,
    "lambda_min": -2.0,
    "trace": float(EIGENVALUES.sum()),
    "negative_mass": float(EIGENVALUES[EIGENVALUES < -1e-12].abs().sum() / EIGENVALUES.abs().sum()),
    "spectral_entropy": float(torch.special.entr(EIGENVALUES.abs() / EIGENVALUES.abs().sum()).sum()),
}


def test_dense_curvature_is_exact():
    curvature = dense_curvature(symmetric(EIGENVALUES).matrix)
    for name, truth in TRUTH.items():
        number = getattr(curvature, name)
        assert number.value == pytest.approx(truth, rel=1e-9)
        assert number.interval.low == number.interval.high
    assert curvature.complete


def test_iterative_curvature_covers_the_truth():
    A = symmetric(EIGENVALUES)
    misses = []
    for seed in range(8):
        curvature = iterative_curvature(
            A,
            start=None,
            quadrature=quadrature(A, torch.Generator().manual_seed(100 + seed)),
            effort=Effort(accuracy=1e-3),
            memory_budget_bytes=2**24,
            generator=torch.Generator().manual_seed(seed),
        )
        assert not curvature.complete
        for name, truth in TRUTH.items():
            number = getattr(curvature, name)
            if "lambda" in name:
                # Residual² over gap: (1e-3 · 8)² / 1.5.
                assert number.value == pytest.approx(truth, abs=5e-5)
            if not number.interval.low <= truth <= number.interval.high:
                misses.append((name, seed))
    # 40 intervals of 95 %: two misses expected, more than six with probability 0.004.
    assert len(misses) <= 6


@final
@dataclass(frozen=True)
class Inexact(LinearOperator):
    """A with another matrix' product in its place, as far off as ``precision`` says."""

    matrix: Tensor
    precision: float | None

    @property
    def signature(self) -> Signature:
        N = len(self.matrix)
        return Signature(N, N, self.matrix.dtype, self.matrix.device, True, precision=self.precision, products="magic")

    def _matmat(self, X: Tensor) -> Tensor:
        return self.matrix @ X

    def _adjoint_matmat(self, Y: Tensor) -> Tensor:
        return self.matrix @ Y


def test_what_is_written_out_by_inexact_products_has_intervals_that_a_worst_error_fills():
    N, precision = 9, 0.01
    A = torch.eye(N, dtype=torch.float64)
    # Every column too long by its whole error: eigenvalues move by precision · ‖A e_j‖, the trace by N times it.
    found = written_out_curvature(Inexact((1 + precision) * A, precision))
    for number, truth, half in ((found.lambda_max, 1.0, N**0.5), (found.lambda_min, 1.0, N**0.5), (found.trace, N, N)):
        assert number.interval.low <= truth + 1e-12
        assert number.interval.high - number.value == pytest.approx(half * precision * (1 + precision))
        assert number.method == "dense eigendecomposition of 9 products by magic"
    exact = written_out_curvature(Inexact(A, None))
    assert exact.trace.interval.low == exact.trace.interval.high == N


def test_the_top_vector_is_an_eigenvector():
    A = symmetric(EIGENVALUES)
    curvature = dense_curvature(A.matrix)
    torch.testing.assert_close(A @ curvature.top, 8.0 * curvature.top)
    torch.testing.assert_close(A @ curvature.bottom, -2.0 * curvature.bottom)


def test_the_zero_matrix_has_eigenvalues_but_no_masses():
    curvature = dense_curvature(torch.zeros(3, 3))
    assert curvature.lambda_max.value == 0.0
    assert curvature.negative_mass.outcome == "not_applicable"


def test_an_operator_that_is_not_finite_is_non_finite_by_either_view():
    A = DenseOperator(torch.full((9, 9), torch.nan, dtype=torch.float64), self_adjoint=True)
    generator = torch.Generator().manual_seed(0)
    for curvature in (
        dense_curvature(A.matrix),
        iterative_curvature(
            A,
            start=None,
            quadrature=quadrature(A, generator),
            effort=Effort(accuracy=1e-3),
            memory_budget_bytes=2**20,
            generator=generator,
        ),
    ):
        assert {getattr(curvature, name).outcome for name in TRUTH} == {"non_finite"}


def test_masses_and_their_intervals_stay_where_masses_can_be():
    bulk = 0.01 * torch.randn(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, effort = symmetric(torch.cat([bulk, 10 * 0.5 ** torch.arange(10.0)])), Effort(probes=2, steps=3)
    for seed in range(5):
        curvature = iterative_curvature(
            A,
            start=None,
            quadrature=quadrature(A, torch.Generator().manual_seed(seed), effort=effort),
            effort=effort,
            memory_budget_bytes=2**24,
            generator=torch.Generator().manual_seed(seed),
        )
        for number, most in ((curvature.negative_mass, 1.0), (curvature.spectral_entropy, math.log(110))):
            assert 0 <= number.interval.low <= number.value <= number.interval.high <= most


@pytest.mark.parametrize("scale", [1e-30, 1e-22])
def test_a_matrix_of_tiny_numbers_in_single_precision_is_as_well_known(scale):
    A = symmetric(torch.randn(60, generator=torch.Generator().manual_seed(5))).matrix.float()
    found = []
    for factor in (1.0, scale):
        operator, generator = DenseOperator(A * factor, self_adjoint=True), torch.Generator().manual_seed(0)
        measure = quadrature(operator, generator)
        found.append(
            iterative_curvature(
                operator, start=None, quadrature=measure, memory_budget_bytes=2**24, generator=generator
            )
        )
    whole, tiny = found
    assert tiny.lambda_max.value / scale == pytest.approx(whole.lambda_max.value, rel=1e-4)
    assert tiny.trace.value / scale == pytest.approx(whole.trace.value, rel=1e-3)
    assert tiny.spectral_entropy.value == pytest.approx(whole.spectral_entropy.value, rel=1e-3)


def test_a_positive_semidefinite_matrix_has_no_negative_mass():
    A = DenseOperator(torch.diag(torch.exp(-torch.arange(2000.0, dtype=torch.float64) / 50)), self_adjoint=True)
    for steps in (8, 48):
        effort = Effort(probes=4, steps=steps)
        generator = torch.Generator().manual_seed(0)
        measure = quadrature(A, generator, effort=effort)
        # Averaged rules go beyond the spectrum, which begins at zero.
        assert float(measure.atoms[0].min()) < 0
        curvature = iterative_curvature(
            A, start=None, quadrature=measure, effort=effort, memory_budget_bytes=2**24, generator=generator
        )
        assert curvature.negative_mass.value == 0
        assert curvature.negative_mass.interval.high == 0
