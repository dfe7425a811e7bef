"""Models whose report is known on paper."""

import math

import pytest
import torch
from torch import nn

from tests.support.measuring import measured, values
from tests.support.spectra import orthogonal
from tests.support.subjects import digits, normal, subject_of


def linear(weight: torch.Tensor) -> nn.Module:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    with torch.no_grad():
        module.weight.copy_(weight)
    return module


def test_an_orthonormal_linear_map_has_gain_one_and_full_entropy():
    found = values(subject_of(linear(orthogonal(5)[:3]), normal(6, 5)))
    assert found["input_jacobian.operator_norm"] == pytest.approx(1)
    assert found["input_jacobian.condition_number"] == pytest.approx(1)
    assert found["input_jacobian.spectral_entropy"] == pytest.approx(math.log(3))
    assert found["input_jacobian.effective_rank"] == pytest.approx(3)
    assert found["input_jacobian.typical_gain"] == pytest.approx((3 / 5) ** 0.5)


def test_a_linear_maps_kernel_is_that_of_its_inputs():
    X = normal(6, 4)
    found = values(subject_of(linear(normal(3, 4, seed=1)), X))
    K = 3 * X @ X.mT
    assert found["ntk.operator_norm"] == pytest.approx(float(torch.linalg.eigvalsh(K)[-1]))
    assert found["ntk.trace"] == pytest.approx(float(K.trace()))
    # G_i = I ⊗ x_iᵀ: three equal singular values.
    assert found["parameter_jacobian.operator_norm"] == pytest.approx(float(X.norm(dim=1).mean()))
    assert found["parameter_jacobian.effective_rank"] == pytest.approx(3)


def test_squared_error_of_a_linear_map_has_the_curvature_of_its_inputs():
    X, Y = normal(8, 4), normal(8, 2, seed=1)
    module = linear(normal(2, 4, seed=2))
    found = values(subject_of(module, X, Y))
    top = 2 * float(torch.linalg.eigvalsh(X.mT @ X / 8)[-1])
    assert found["hessian.lambda_max"] == pytest.approx(top)
    assert found["gauss_newton.lambda_max"] == pytest.approx(top)
    assert found["hessian.max_stable_step"] == pytest.approx(2 / top)
    assert found["hessian.negative_mass"] == 0
    assert found["hessian.relative_lambda_max"] == pytest.approx(top * float(module.weight.detach().norm()) ** 2)
    target_variance = float((Y - Y.mean(dim=0)).square().sum(dim=1).mean())
    expected = math.log10(top * float(module.weight.detach().norm()) ** 2 / (2 * target_variance))
    assert found["index.curvature"] == pytest.approx(expected)


def test_softmax_regression_on_digits_has_a_hessian_without_negative_curvature():
    X, y = digits(24)
    found = values(subject_of(linear(0.1 * normal(10, 64)), X, y))
    assert found["hessian.lambda_max"] == pytest.approx(found["gauss_newton.lambda_max"])
    assert found["hessian.trace"] == pytest.approx(found["gauss_newton.trace"])
    assert found["hessian.negative_mass"] == 0


def test_the_kernel_of_a_linear_model_is_aligned_with_targets_it_can_fit():
    X = normal(10, 3)
    fitting = X @ orthogonal(3)
    noise = normal(10, 3, seed=5)
    aligned, not_aligned = (
        values(subject_of(linear(normal(3, 3, seed=1)), X, Y))["ntk.target_alignment"] for Y in (fitting, noise)
    )
    assert aligned == pytest.approx(1)
    assert not_aligned < 0.7


def test_the_sampling_interval_of_the_curvature_is_students_for_one_parameter():
    # f = w x, squared error: H = 2 mean x², the mean of 2 x_i².
    X = normal(9, 1)
    curvature = measured(subject_of(linear(torch.ones(1, 1)), X, normal(9, 1, seed=1)))["hessian.lambda_max"]
    each = 2 * X.squeeze(1) ** 2
    half = 2.306004135204166 * float(each.std()) / 3  # t_{0.975, 8}
    assert curvature.error.sampling.low == pytest.approx(float(each.mean()) - half)
    assert curvature.error.sampling.high == pytest.approx(float(each.mean()) + half)
