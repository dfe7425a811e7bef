"""What a loaded network does besides its arithmetic: batches of the size it was exported for."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.certificate import certify
from eigengate.loading.functional_model import FunctionalModel
from eigengate.loading.program import TensorSpec
from support.modules import functional

X = torch.linspace(-1.0, 1.0, 8 * 6).reshape(8, 6).cos()


class Baked(nn.Module):
    """A network whose batch size of three stands in its own code, as in a file exported without dynamic axes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.reshape(3, 2, 3).tanh().reshape(3, 6))


@pytest.fixture
def baked() -> tuple[FunctionalModel, nn.Linear]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Baked()
    model = functional(module)
    specs = (TensorSpec("x", torch.float32, (3, 6)),)
    return replace(model, program=replace(model.program, specs=specs)), module.head


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_network_exported_for_another_batch_size_answers_for_every_sample(baked, n):
    model, head = baked
    expected = head(X[:n].tanh()).detach()
    torch.testing.assert_close(model.apply(model.params, X[:n]).detach(), expected)
    torch.testing.assert_close(model.witness((X[:n],)), expected)


def test_derivatives_of_a_fixed_batch_are_those_of_the_sample_alone(baked):
    model, head = baked
    jacobian = torch.vmap(torch.func.jacrev(lambda x: model.apply(model.params, x.unsqueeze(0))[0]))(X)
    torch.testing.assert_close(jacobian, (head.weight * (1 - X.tanh() ** 2).unsqueeze(1)).detach())


def test_a_network_of_fixed_batch_is_certified(baked):
    certificate = certify(baked[0], (X,), 0, torch.Generator().manual_seed(0))
    assert certificate.passed
    assert all(check.error is not None for check in certificate.checks)
