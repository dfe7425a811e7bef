"""A network with an operator that has one derivative and no second: the report is there, but for what needs two."""

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


def test_only_the_hessian_is_missing_and_the_report_names_it_and_the_operator(
    report: eigengate.StabilityReport,
) -> None:
    (problem,) = report.problems
    assert (problem.code, problem.quantity) == ("not_differentiable", "hessian")
    assert "_ctc_loss" in problem.detail
    measured = {m.name.partition(".")[0] for m in report.measurements if m.value is not None}
    assert {"input_jacobian", "parameter_jacobian", "ntk", "gauss_newton"} <= measured
    assert not any(m.name.startswith("hessian.") for m in report.measurements)


def test_the_certificate_says_which_checks_could_not_be_made(report: eigengate.StabilityReport) -> None:
    assert report.certificate.passed
    checks = {check.name: check for check in report.certificate.checks}
    assert checks["directional_derivatives"].error is not None, "the derivative there is was compared"
    assert checks["hessian_symmetry"].error is None
    assert "_ctc_loss" in checks["hessian_symmetry"].detail


def test_the_index_is_null_with_its_reason(report: eigengate.StabilityReport) -> None:
    variant = report.index.variants[0]
    assert variant.value is None
    assert "curvature is missing" in variant.detail


@pytest.mark.parametrize(("metric", "passes"), [("hessian.lambda_max", False), ("input_jacobian.operator_norm", True)])
def test_a_gate_on_what_is_missing_does_not_pass(report: eigengate.StabilityReport, metric: str, passes: bool) -> None:
    condition = {"id": "limit", "metric": metric, "op": "<=", "threshold": 1e6}
    policy = eigengate.Policy.model_validate({"schema": 1, "condition": [condition]})
    assert (eigengate.judge(report, policy).outcome == "pass") is passes
