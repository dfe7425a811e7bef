"""curvlinops builds the same matrices from the module itself, without our lowering and our products."""

import pytest
import torch
from curvlinops import GGNLinearOperator
from curvlinops import HessianLinearOperator as Hessian
from torch import nn

from eigengate.operators import GaussNewtonOperator, HessianOperator
from tests.support.subjects import classes, cnn, mlp, normal, subject_of


@pytest.mark.parametrize(("module", "shape"), [(mlp(), (6,)), (cnn(), (1, 6, 6))], ids=["mlp", "cnn"])
def test_hessian_and_gauss_newton_agree_with_curvlinops(module, shape):
    x, y = normal(6, *shape, seed=3), classes(6, seed=4)
    module.eval()
    subject = subject_of(module, x, y)
    for theirs, ours in ((Hessian, HessianOperator), (GGNLinearOperator, GaussNewtonOperator)):
        parameters = list(module.parameters())
        other = theirs(module, nn.CrossEntropyLoss(), parameters, [(x, y)], check_deterministic=False)
        matrix = other @ torch.eye(other.shape[1], dtype=x.dtype)
        torch.testing.assert_close(ours.of(subject).materialize(), matrix.detach(), rtol=1e-9, atol=1e-12)
