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
