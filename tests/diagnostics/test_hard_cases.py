"""What cannot be measured is null with a reason, and never NaN."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.contract import AuditConfig
from eigengate.diagnostics import Context
from eigengate.diagnostics.ntk import NeuralTangentKernel
from eigengate.operators import CrossEntropy, Subject
from tests.support.measuring import SPECTRAL, measured
from tests.support.parameter_uses import Written
from tests.support.subjects import classes, functional_model, mlp, normal, small_subject, subject_of


def outcome(found, name: str) -> tuple[str, str]:
    measurement = found[name]
    assert measurement.value is None
    return measurement.outcome, measurement.detail


def test_a_dead_network_has_no_gain_that_a_gate_could_pass():
    module = mlp(activation=nn.ReLU)
    with torch.no_grad():
        module[0].bias.fill_(-100)
    found = measured(subject_of(module, normal(4, 6), classes(4)))
    assert outcome(found, "input_jacobian.operator_norm")[0] == "not_applicable"
    assert outcome(found, "input_jacobian.spectral_entropy")[0] == "not_applicable"
    assert "do not differ" in outcome(found, "index.forward")[1]
    assert outcome(found, "index.gmsi")[0] == "not_applicable"
    assert "forward is missing" in found["index.gmsi"].detail


def test_a_network_that_ignores_its_parameters_has_no_curvature_that_a_gate_could_pass():
    class Constant(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * super().forward(x)

    found = measured(subject_of(Constant(3, 2).double(), normal(4, 3), classes(4, 2)))
    for name in ("hessian.lambda_max", "hessian.lambda_min", "hessian.trace", "hessian.relative_lambda_max"):
        assert outcome(found, name) == ("not_applicable", "zero matrix")


def test_one_sample_without_gain_leaves_the_norms_but_not_the_logarithm():
    module = nn.Sequential(nn.ReLU(), nn.Linear(2, 2)).double()
    x = torch.tensor([[1.0, 2.0], [3.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    found = measured(subject_of(module, x, classes(3, 2)))
    assert found["input_jacobian.operator_norm"].summary.n == 3
    assert found["input_jacobian.operator_norm"].summary.min == 0
    assert found["input_jacobian.spectral_entropy"].summary.n == 2
    assert "undefined for 1 of 3 samples" in found["input_jacobian.spectral_entropy"].detail
    assert "1 of 3 samples have no gain" in outcome(found, "index.forward")[1]


def test_a_network_without_parameters_still_has_an_input_jacobian():
    found = measured(subject_of(nn.Tanh(), normal(4, 3), classes(4)))
    assert found["input_jacobian.operator_norm"].outcome == "ok"
    for name in ("parameter_jacobian.operator_norm", "ntk.trace", "gauss_newton.lambda_max", "hessian.lambda_max"):
        assert outcome(found, name) == ("not_applicable", "the network has no trainable parameters")


def test_infinite_outputs_are_non_finite_and_not_nan():
    module = mlp()
    with torch.no_grad():
        module[2].weight.fill_(torch.inf)
    found = measured(subject_of(module, normal(4, 6), classes(4)))
    for name in ("input_jacobian.operator_norm", "ntk.operator_norm", "hessian.lambda_max", "model.loss"):
        assert outcome(found, name)[0] == "non_finite", name


def test_without_labels_accuracy_and_alignment_are_not_applicable():
    found = measured(subject_of(mlp(), normal(4, 6)))
    assert outcome(found, "model.accuracy")[0] == "not_applicable"
    assert outcome(found, "ntk.target_alignment") == ("not_applicable", "the probe data has no targets")
    assert found["index.gmsi"].outcome == "ok"


def test_equal_probe_samples_have_no_natural_unit():
    x = normal(1, 6).expand(4, 6).clone()
    found = measured(subject_of(mlp(), x, classes(4)))
    assert "do not differ" in outcome(found, "index.forward")[1]
    assert found["probe.input_spread"].value == 0


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.table(tokens).tanh().mean(dim=1))


def test_integer_inputs_have_no_jacobian_but_everything_else():
    model = functional_model(Embedding().double())
    subject = Subject(model, (classes(20, 7).reshape(5, 4),), classes(5), True, CrossEntropy())
    found = measured(subject)
    assert "not a floating point tensor" in outcome(found, "input_jacobian.operator_norm")[1]
    assert found["parameter_jacobian.operator_norm"].outcome == "ok"
    assert found["hessian.lambda_max"].outcome == "ok"


def test_a_kernel_beyond_the_budget_is_out_of_budget_and_the_rest_goes_on():
    # Gains of single entries have gradients that are no outer products: 3 rows of 76,800 numbers.
    gains = Written(lambda x, w: (x.unsqueeze(1) * w).sum((2, 3)), w=(3, 400, 64))
    subject = subject_of(gains, normal(3, 400, 64), classes(3))
    config = AuditConfig(quantities=SPECTRAL, memory_budget_bytes=2**20)
    context = Context(subject=subject, config=config)
    found = {m.name: m for m in NeuralTangentKernel().measure(context).measurements}
    assert outcome(found, "ntk.operator_norm")[0] == "out_of_budget"
    assert "more than there is room for in the memory budget" in found["ntk.operator_norm"].detail


def test_beyond_the_dense_limit_the_curvature_is_estimated_within_its_intervals(monkeypatch):
    subject = small_subject("mlp", n=6)
    exact = measured(subject)
    monkeypatch.setattr("eigengate.planning.planner.DENSE_HESSIAN", 50)
    found = measured(subject)
    for name in ("lambda_max", "lambda_min", "trace", "negative_mass", "relative_lambda_max", "relative_trace"):
        ours, truth = found[f"hessian.{name}"], exact[f"hessian.{name}"].value
        assert not ours.exact
        assert ours.outcome == "ok"
        # Coverage is counted over many seeds in tests/estimators; six intervals of one seed may miss by a little.
        half = (ours.error.numerical.high - ours.error.numerical.low) / 2
        assert abs(ours.value - truth) <= 3 * half
        if "lambda" in name:
            assert ours.value == pytest.approx(truth, rel=1e-4)
    assert found["hessian.lambda_max"].error.sampling is not None
    assert found["index.curvature"].error.numerical.high > found["index.curvature"].value
    assert not found["index.gmsi"].exact


def test_gauss_newton_without_a_stored_kernel_is_estimated_from_products():
    # n C = 240 rows: Θ would take 460 kB, more than a quarter of the budget.
    subject = subject_of(mlp(), normal(80, 6), classes(80))
    tight = AuditConfig(quantities=SPECTRAL, memory_budget_bytes=2**20)
    exact, estimated = measured(subject), measured(subject, tight)
    top, truth = estimated["gauss_newton.lambda_max"], exact["gauss_newton.lambda_max"]
    assert truth.exact
    assert not top.exact
    assert top.error.numerical.low <= truth.value <= top.error.numerical.high
    # The trace needs the diagonal blocks of Θ alone, which are always there.
    assert estimated["gauss_newton.trace"].exact
    assert estimated["gauss_newton.trace"].value == pytest.approx(exact["gauss_newton.trace"].value, rel=1e-10)
    assert outcome(estimated, "gauss_newton.condition_number")[0] == "out_of_budget"
    assert estimated["ntk.operator_norm"].value == pytest.approx(exact["ntk.operator_norm"].value, rel=1e-12)
