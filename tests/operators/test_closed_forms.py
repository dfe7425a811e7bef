"""Curvature of models whose matrices are known on paper."""

import torch
from torch import nn

from eigengate.operators import GaussNewtonOperator, HessianOperator, NTKOperator
from tests.support import dense
from tests.support.subjects import digits, normal, subject_of

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs, bias=False).double()


def test_the_squared_error_hessian_of_a_linear_model_is_two_identity_kron_covariance():
    X, Y = normal(7, 4, seed=1), normal(7, 3, seed=2)
    subject = subject_of(linear(4, 3), X, Y)
    expected = 2 * torch.kron(torch.eye(3, dtype=X.dtype), X.mT @ X / 7)
    torch.testing.assert_close(HessianOperator.of(subject).materialize(), expected, **EXACT)


def test_the_kernel_of_a_linear_model_is_the_gram_of_its_inputs_for_every_class():
    X = normal(5, 4, seed=1)
    subject = subject_of(linear(4, 3), X)
    expected = torch.kron(X @ X.mT, torch.eye(3, dtype=X.dtype))
    torch.testing.assert_close(NTKOperator.of(subject).materialize(), expected, **EXACT)


def test_the_hessian_of_softmax_regression_on_digits_is_its_textbook_form():
    X, y = digits(20)
    module = linear(64, 10)
    subject = subject_of(module, X, y)
    p = torch.softmax(X @ module.weight.detach().mT, dim=1)
    blocks = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    expected = torch.einsum("icd,ij,ik->cjdk", blocks, X, X).reshape(640, 640) / 20
    torch.testing.assert_close(HessianOperator.of(subject).materialize(), expected, **EXACT)
    # f is linear in θ, so all of H is its Gauss-Newton part.
    torch.testing.assert_close(GaussNewtonOperator.of(subject).materialize(), expected, **EXACT)


def test_gauss_newton_differs_from_the_hessian_where_the_model_is_curved():
    subject = subject_of(nn.Sequential(linear(4, 4), nn.Tanh(), linear(4, 3)), normal(6, 4))
    difference = dense.loss_hessian(subject) - dense.gauss_newton(subject)
    measured = HessianOperator.of(subject).materialize() - GaussNewtonOperator.of(subject).materialize()
    assert difference.norm() > 1e-2
    torch.testing.assert_close(measured, difference, **EXACT)
