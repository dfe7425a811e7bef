"""Networks that draw random numbers: pure functions of seeded draws, the same that the original executor makes."""

import io

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, jvp, vjp, vmap
from torch.nn import functional as F

import eigengate
from eigengate.errors import UnsupportedOperatorError
from eigengate.loading import FunctionalModel, load_model
from eigengate.loading.certificate import certify
from tests.support.random_networks import NETWORKS, SCRIPTED, Random, network, probe
from tests.support.torch_networks import torchscript

# Reassociated sums and the type in which noise is scaled, on values of order one to ten.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def traced(module: nn.Module, x: Tensor) -> FunctionalModel:
    return load_model(torchscript(module, x))


def scripted(module: nn.Module) -> FunctionalModel:
    return load_model(torchscript(module, probe(1), "scripted"))


def require_certified(model: FunctionalModel, x: Tensor) -> None:
    certificate = certify(model.settled(x), (x,), 0, torch.Generator().manual_seed(0))
    assert certificate.passed, [check for check in certificate.checks if not check.passed]


@pytest.mark.parametrize("name", NETWORKS)
def test_draws_are_those_of_the_original_executor_and_the_same_for_every_sample(name):
    x = probe(3)
    model = traced(network(name), probe(1))
    require_certified(model, x)
    together = model.apply(model.params, x)
    alone = torch.cat([model.apply(model.params, sample) for sample in x.split(1)])
    torch.testing.assert_close(together, alone, **CLOSE)
    assert torch.equal(together, model.apply(model.params, x)), "no evaluation moves the draws of the next"
    doubled = model.to(dtype=torch.float64)
    torch.testing.assert_close(doubled.apply(doubled.params, x.double()), together.double(), **CLOSE)
    assert any("draws random numbers (aten::" in note and "seed 0" in note for note in model.notes)


@pytest.mark.parametrize("name", SCRIPTED)
def test_what_is_drawn_may_depend_on_the_data_and_may_be_of_no_use(name):
    module, x = network(name), probe(6)
    model = scripted(module)
    require_certified(model, x)
    values = model.apply(model.params, x)
    assert not torch.allclose(values, model.apply(model.params, 0 * x)), "the network is not constant"


@pytest.mark.parametrize("name", ["dropout", "attention", "lstm", "gumbel", "normal"])
def test_derivatives_of_every_kind_see_the_same_draws(name):
    model = traced(network(name), probe(1)).to(dtype=torch.float64)
    x, v = probe(2).double(), probe(3)[:2].double()

    def one(sample: Tensor) -> Tensor:
        return model.apply(model.params, sample[None])[0]

    def together(inputs: Tensor) -> Tensor:
        return model.apply(model.params, inputs)

    jacobians = vmap(jacrev(one))(x)
    for sample, jacobian in zip(x, jacobians, strict=True):
        torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(one, sample), rtol=1e-10, atol=1e-12)
    step = 1e-5
    # Central differences err by step² ≈ 1e-10 times the third derivative, and rounding.
    difference = (together(x + step * v) - together(x - step * v)) / (2 * step)
    torch.testing.assert_close(jvp(together, (x,), (v,))[1], difference, rtol=1e-6, atol=1e-7)
    gradient = grad(lambda inputs: together(inputs).sin().sum())
    second = (gradient(x + step * v) - gradient(x - step * v)) / (2 * step)
    torch.testing.assert_close(jvp(gradient, (x,), (v,))[1], second, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(vjp(gradient, x)[1](v)[0], second, rtol=1e-6, atol=1e-7)


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x.reshape(4, 6), 0.5)


def test_a_fixed_batch_is_filled_with_one_sample_at_a_time():
    x = probe(4)
    model = traced(Random(FixedBatch()), x)
    assert model.fixed_batch == 4
    require_certified(model, x)
    values = model.apply(model.params, x)
    torch.testing.assert_close(values[1:2], model.apply(model.params, x[1:2]), **CLOSE)
    kept = [(row != 0).tolist() for row in values]
    assert kept[0] == kept[1] == kept[2] == kept[3], "every sample has the draws of the first row"


def test_the_global_random_state_is_neither_read_nor_moved():
    x = probe(2)
    model = traced(network("dropout"), probe(1))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    ours, theirs = model.apply(model.params, x), model.witness((x,))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(ours, model.apply(model.params, x))
    assert torch.equal(theirs, model.witness((x,)))


def test_dropout_that_never_drops_draws_nothing():
    model = traced(Random(nn.Dropout(0.0)), probe(2))
    assert model.batching is None
    assert not any("random" in note for note in model.notes)


REFUSED = {
    "aten::poisson": lambda x: x * torch.poisson(x.exp()),
    "aten::binomial": lambda x: x * torch.binomial(torch.ones(6), torch.rand(6)),
    "aten::_standard_gamma": lambda x: x * torch._standard_gamma(x.exp()),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_what_draws_again_until_it_fits_is_refused_by_name(operator):
    with pytest.raises(UnsupportedOperatorError, match=operator) as caught:
        traced(Random(REFUSED[operator]), probe(1))
    assert "evaluation mode" in caught.value.hint


def test_randomised_rectifiers_in_training_are_refused_by_name():
    model = traced(Random(nn.RReLU()), probe(1))
    with pytest.raises(UnsupportedOperatorError, match="rrelu draws random numbers"):
        model.apply(model.params, probe(1))


def test_a_network_with_dropout_left_on_is_audited_and_the_report_says_so():
    module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 3))
    config = eigengate.AuditConfig(device="cpu", precision="float64", quantities=["input_jacobian", "hessian"])
    model = traced(module, probe(1))
    probe_of = eigengate.load_probe(npz(probe(8)))
    report, again = (eigengate.audit(model, probe_of, config) for _ in range(2))
    assert report.certificate.passed
    assert any("aten::dropout" in note for note in report.model.notes)
    assert not report.problems
    weights = {name: tensor.double() for name, tensor in module.state_dict().items()}
    hidden = torch.tanh(probe(8).double() @ weights["0.weight"].T + weights["0.bias"])
    generator = torch.Generator().manual_seed(0)
    mask = torch.empty(1, 5).bernoulli_(0.6, generator=generator).double() / 0.6
    jacobians = torch.einsum("cm,nm,mi->nci", weights["3.weight"] * mask, 1 - hidden**2, weights["0.weight"])
    expected = torch.linalg.matrix_norm(jacobians, 2).mean()
    assert report.value("input_jacobian.operator_norm") == pytest.approx(float(expected), rel=1e-6)
    assert again.measurements == report.measurements


def npz(x: Tensor) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, x=x.numpy())
    return buffer.getvalue()
