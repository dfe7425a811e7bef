"""The original executor as witness, and what it is known to get wrong when it optimises."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacfwd, jacrev, vjp

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import NETWORKS, saved, torchscript

SETTINGS = (torch._C._get_graph_executor_optimize, torch._C._jit_texpr_fuser_enabled)


def executor_settings() -> tuple[bool, ...]:
    executor = torch._C._jit_set_profiling_executor(True)
    torch._C._jit_set_profiling_executor(executor)
    mode = torch._C._jit_set_profiling_mode(True)
    torch._C._jit_set_profiling_mode(mode)
    return (executor, mode, *(setting() for setting in SETTINGS))


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, "traced_inference") for name in sorted(NETWORKS)), ("control_flow", "scripted"), ("encoder", "scripted")],
)
def test_watched_values_are_those_of_the_original_executor(name, form):
    network, x = NETWORKS[name]()
    lowered = read_torchscript(torchscript(network, x, form))
    watched = dict(lowered.program.watch(lowered.program.parameters, x))
    original = lowered.runtime.values(list(watched), x)
    assert original
    assert len(original) >= len(watched) - 3, "only values inside branches and loops may be missing"
    for label, value in original.items():
        # Fused kernels add in another order than our decomposition, in float32 and on values of order ten.
        torch.testing.assert_close(watched[label], value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lowered.runtime(x)[0], lowered.program(lowered.program.parameters, x)[0])


def test_a_value_changed_in_place_later_is_given_as_it_was():
    network, x = NETWORKS["lenet"]()
    lowered = read_torchscript(torchscript(network, x))
    label = next(n for n, _ in lowered.program.watch(lowered.program.parameters, x) if n.startswith("aten::_conv"))
    (value,) = lowered.runtime.values([label], x).values()
    assert value.min() < 0, "a later relu_ must not reach the convolution's value"


def test_names_the_executor_cannot_give_are_left_out():
    network, x = NETWORKS["mlp"]()
    assert read_torchscript(torchscript(network, x)).runtime.values(["no such value"], x) == {}


def test_the_executor_settings_are_restored():
    network, x = NETWORKS["mlp"]()
    runtime = read_torchscript(torchscript(network, x)).runtime
    before = executor_settings()
    runtime(x)
    runtime.values(["anything"], x)
    assert executor_settings() == before
    assert torch.is_grad_enabled()


# What the optimising executor has been reported to differentiate wrongly after its first calls: the structures of
# pytorch issues 86804, 108670, 84681, 170680 and 49764, as small modules of our own.


class DeterminantOfQuotient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.celu(x)
        return (y / (y * -2.0) + x).logdet()


class ChannelNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, 4).reshape(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=0, keepdim=True)
        return self.gamma * centred / torch.sqrt(x.var(dim=0, keepdim=True, unbiased=False) + 1e-5)


class SoftMargin(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.multilabel_soft_margin_loss(x, torch.ones_like(x) * 0.5)


class ThreeSums(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x + x


class TanhLoop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros_like(x[0])
        for index in range(x.size(0)):
            hidden = torch.tanh(hidden + x[index])
        return hidden


@pytest.mark.parametrize(
    "network",
    [DeterminantOfQuotient(), ChannelNorm(), SoftMargin(), ThreeSums(), TanhLoop()],
    ids=lambda n: type(n).__name__,
)
def test_derivatives_stay_right_over_four_calls(network):
    network = network.double()
    x = 3 * torch.eye(4, dtype=torch.float64) + torch.rand(4, 4, generator=torch.Generator().manual_seed(3)).double()
    program = read_torchscript(saved(torch.jit.script(network))).program
    expected = torch.autograd.functional.jacobian(network, x)
    expected_hessian = torch.autograd.functional.hessian(lambda inputs: network(inputs).sin().sum(), x)
    product = torch.einsum("abij,ij->ab", expected_hessian, torch.ones_like(x))

    def one(inputs: Tensor) -> Tensor:
        return program(program.parameters, inputs)[0]

    gradient = grad(lambda inputs: one(inputs).sin().sum())
    for _ in range(4):
        one(x)
        # Exact differentiation both times; only rounding in float64 lies between them.
        torch.testing.assert_close(jacrev(one)(x), expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(jacfwd(one)(x), expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(vjp(gradient, x)[1](torch.ones_like(x))[0], product, rtol=1e-9, atol=1e-11)
