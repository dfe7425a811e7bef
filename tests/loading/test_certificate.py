"""The certificate passes honest lowerings and catches each kind of dishonest one."""

import pytest
import torch
from torch import nn

from eigengate.errors import CertificateError
from eigengate.loading.certificate import certify, require
from support.modules import functional

X = torch.linspace(-1.5, 1.5, 12 * 5).reshape(12, 5).sin()
CHECKS = (
    "forward_parity",
    "directional_derivatives",
    "adjoint_inputs",
    "adjoint_parameters",
    "hessian_symmetry",
    "repeatability",
)


def network(activation: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 8), activation, nn.Linear(8, 3))


def certificate(model):
    return certify(model, (X,), 0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(), nn.GELU()])
def test_an_honest_lowering_passes_every_check(activation):
    result = certificate(functional(network(activation)))
    assert result.passed
    assert tuple(check.name for check in result.checks) == CHECKS
    assert all(check.error is not None for check in result.checks)
    require(result)


def test_another_forward_fails_parity_and_names_the_first_diverging_value():
    module = network(nn.Tanh())
    result = certificate(functional(module, runtime=lambda x: module(x) * 1.01))
    assert not result.passed
    assert result.first_divergence.value == "y"
    with pytest.raises(
        CertificateError, match=r"forward_parity: error 0\.0099 exceeds 0\.0001; first diverging value: y"
    ):
        require(result)


class CutGradient(nn.Module):
    """The right value with half of its derivative missing: what an ``.item()`` on the value path does."""

    def forward(self, x):
        return x.tanh() + x.sin().detach()


def test_a_cut_gradient_path_is_caught_though_the_outputs_agree():
    result = certificate(functional(CutGradient(), runtime=lambda x: x.tanh() + x.sin()))
    failed = [check.name for check in result.checks if not check.passed]
    assert failed == ["directional_derivatives"]


class WrongSideBySide(torch.autograd.Function):
    """tanh, whose batching rule loses half of the derivative."""

    @staticmethod
    def forward(x):
        return x.tanh()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, slope):
        return slope * (1 - ctx.saved_tensors[0] ** 2)

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * (1 - ctx.saved_tensors[0] ** 2)

    @staticmethod
    def vmap(info, in_dims, x):
        return 0.5 * x.tanh() + 0.5 * x.tanh().detach(), in_dims[0]


class Batched(nn.Module):
    def forward(self, x):
        return WrongSideBySide.apply(x)


def test_a_kernel_with_a_wrong_batching_rule_is_caught_though_it_is_right_alone():
    result = certificate(functional(Batched(), runtime=torch.tanh))
    assert "directional_derivatives" in [check.name for check in result.checks if not check.passed]


class BatchCoupled(nn.Module):
    """Every sample's output depends on the whole batch, as with batch statistics left in training mode."""

    def forward(self, x):
        return (x - x.mean(0, keepdim=True)).tanh() @ torch.eye(5, dtype=x.dtype)[:, :2] * x.std()


def test_a_network_that_couples_its_samples_is_caught():
    result = certificate(functional(BatchCoupled()))
    assert not result.passed


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x[:, :2] * (1 + 1e-6 * self.calls)


def test_a_runtime_that_remembers_its_calls_is_not_repeatable():
    result = certificate(functional(nn.Identity(), runtime=Counting()).select(0, None, cut_softmax=False))
    assert not result.passed


def test_a_network_without_parameters_is_certified_on_its_inputs_alone():
    assert certificate(functional(nn.Tanh())).passed


class WrongTangent(torch.autograd.Function):
    """Reverse mode right, forward mode wrong by a tenth."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, u):
        return u

    @staticmethod
    def jvp(ctx, t):
        return 1.1 * t


class Lopsided(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return WrongTangent.apply(x * self.w)


def test_forward_and_reverse_mode_that_disagree_fail_the_adjoint_tests():
    result = certificate(functional(Lopsided()))
    failed = {check.name for check in result.checks if not check.passed}
    assert failed == {"adjoint_inputs", "adjoint_parameters"}
