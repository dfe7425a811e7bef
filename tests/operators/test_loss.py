"""Losses: derivatives in the outputs, and what an uninformed guess loses."""

import math

import pytest
import torch
from torch.autograd.functional import hessian

from eigengate.operators import CrossEntropy, Loss, ProbabilityCrossEntropy, SquaredError
from tests.support.subjects import classes, normal

CASES = {
    "cross_entropy": (CrossEntropy(), normal(4, 3), classes(4)),
    "probabilities": (ProbabilityCrossEntropy(), torch.softmax(normal(4, 3), 1), classes(4)),
    "squared_error": (SquaredError(), normal(4, 3), normal(4, 3, seed=1)),
}


@pytest.mark.parametrize(("loss", "f", "y"), CASES.values(), ids=CASES)
def test_the_output_hessian_is_the_second_derivative(loss: Loss, f, y):
    expected = torch.stack(
        [hessian(lambda row, i=i: loss.per_sample(row[None], y[i : i + 1]).sum(), f[i]) for i in range(4)]
    )
    torch.testing.assert_close(loss.output_hessian(f, y), expected, rtol=1e-10, atol=1e-12)


def test_the_scale_of_cross_entropy_is_the_loss_of_a_uniform_guess():
    loss = CrossEntropy()
    assert loss.scale(classes(5), 7) == pytest.approx(math.log(7))
    uniform = loss.per_sample(torch.zeros(5, 7, dtype=torch.float64), classes(5))
    torch.testing.assert_close(loss.scale_per_sample(classes(5), 7), uniform)


def test_the_scale_of_squared_error_is_the_loss_of_the_mean():
    y = normal(6, 2)
    loss = SquaredError()
    guess = y.mean(dim=0).expand_as(y)
    assert loss.scale(y, 2) == pytest.approx(float(loss.per_sample(guess, y).mean()))


@pytest.mark.parametrize("margin", [12.0, 30.0, 70.0])
def test_the_curvature_of_a_sure_network_survives_single_precision(margin):
    f = torch.tensor([[margin, 0.0, -0.5]])
    own = torch.tensor([0])
    p1, p2 = torch.exp(torch.tensor([-margin, -margin - 0.5], dtype=torch.float64)).tolist()
    # diag(p) - ppᵀ for p = (1, p1, p2) to first order in p1 and p2, which are below 1e-5.
    expected = torch.tensor([[[p1 + p2, -p1, -p2], [-p1, p1, -p1 * p2], [-p2, -p1 * p2, p2]]])
    loss = CrossEntropy()
    by_autograd = hessian(lambda row: loss.per_sample(row[None], own).sum(), f[0])
    # First order costs p1; a logit of 70 in float32 moves its exponential by 70 eps = 4e-6.
    torch.testing.assert_close(loss.output_hessian(f, own), expected, rtol=2e-5, atol=1e-12 * p1)
    torch.testing.assert_close(by_autograd[:1], expected[0, :1], rtol=2e-5, atol=0)
    assert float(loss.per_sample(f, own)) == pytest.approx(p1 + p2, rel=2e-5)


def test_cross_entropy_is_that_of_torch_however_wrong_the_network_is():
    f = 40 * normal(6, 3)
    torch.testing.assert_close(
        CrossEntropy().per_sample(f, classes(6)), torch.nn.functional.cross_entropy(f, classes(6), reduction="none")
    )


def test_a_single_class_has_no_loss_and_no_curvature():
    f, only = normal(3, 1), torch.zeros(3, dtype=torch.long)
    loss = CrossEntropy()
    assert loss.per_sample(f, only).tolist() == [0, 0, 0]
    assert not hessian(lambda rows: loss.per_sample(rows, only).sum(), f).any()
    assert not loss.output_hessian(f, only).any()
