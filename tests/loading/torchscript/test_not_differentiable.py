"""A network with an operator that has one derivative and no second: what needs two is estimated, and says so."""

import io
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eigengate
from tests.support.torch_networks import torchscript


class Aligned(nn.Module):
    """The connectionist temporal classification loss of a fixed target is one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.head = nn.Linear(4, 15), nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        scores = self.steps(x).reshape(n, 5, 3).transpose(0, 1).log_softmax(2)
        target, lengths = torch.ones([n, 2], dtype=torch.long), torch.full([n], 5, dtype=torch.long)
        loss = torch.ctc_loss(scores, target, lengths, torch.full([n], 2, dtype=torch.long), 0, 0)
        return self.head(loss.reshape(n, 1))


@pytest.fixture(scope="module")
def report() -> eigengate.StabilityReport:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Aligned()
        x = torch.randn(6, 4)
    file = io.BytesIO()
    np.savez(file, x=x.numpy())
    quantities = ["input_jacobian", "parameter_jacobian", "ntk", "hessian", "gauss_newton"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the loss is not batched by vmap
        model = eigengate.load_model(torchscript(network, x, "scripted"))
        config = eigengate.AuditConfig(device="cpu", quantities=quantities)
        return eigengate.audit(model, eigengate.load_probe(file.getvalue()), config)


def test_the_hessian_is_estimated_by_differences_and_everything_says_so(report: eigengate.StabilityReport) -> None:
    assert not report.problems
    measured = {m.name.partition(".")[0] for m in report.measurements if m.value is not None}
    assert {"input_jacobian", "parameter_jacobian", "ntk", "gauss_newton", "hessian"} <= measured
    for name in ("hessian.lambda_max", "hessian.lambda_min", "hessian.relative_lambda_max"):
        found = report.measurement(name)
        assert "central differences of the gradient" in found.method
        assert not found.exact
        assert found.error.numerical.low < found.value < found.error.numerical.high


def test_the_certificate_says_which_checks_could_not_be_made(report: eigengate.StabilityReport) -> None:
    assert report.certificate.passed
    checks = {check.name: check for check in report.certificate.checks}
    assert checks["directional_derivatives"].error is not None, "the derivative there is was compared"
    assert checks["hessian_symmetry"].error is None
    assert "_ctc_loss" in checks["hessian_symmetry"].detail
