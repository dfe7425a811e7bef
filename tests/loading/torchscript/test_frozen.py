"""Frozen modules whose normalisations are not folded: constants in their own layers, named and differentiated."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import NETWORKS, saved


class Unfoldable(nn.Module):
    """Batch normalisations with no convolution in front: one before it, one behind a mean, one without scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.second = nn.BatchNorm1d(4)
        self.third = nn.BatchNorm1d(4, affine=False)
        self.linear = nn.Linear(4, 2)
        for norm in (self.first, self.second, self.third):
            for tensor in norm.state_dict().values():
                if tensor.is_floating_point():
                    nn.init.uniform_(tensor, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(self.first(x)))
        return self.linear(self.third(self.second(x.mean([2, 3]))))


def built() -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Unfoldable().eval(), torch.randn(2, 3, 6, 6)


@pytest.mark.parametrize("optimize", [True, False], ids=["optimised", "plain"])
@pytest.mark.parametrize("form", ["traced", "scripted"])
def test_unfolded_batch_normalisation_stays_with_its_statistics_and_its_parameters(form, optimize):
    network, x = built()
    module = torch.jit.script(network) if form == "scripted" else torch.jit.trace(network, x)
    lowered = read_torchscript(saved(torch.jit.freeze(module, optimize_numerics=optimize)))
    program = lowered.program
    torch.testing.assert_close(program(program.parameters, x)[0], network(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lowered.runtime(x)[0], network(x), rtol=1e-5, atol=1e-6)
    shapes = sorted(tuple(tensor.shape) for tensor in program.parameters.values())
    assert shapes == sorted(tuple(tensor.shape) for tensor in network.parameters())
    assert sum("batch_norm" in name for name in program.parameters) == 4
    statistics = sorted(tuple(tensor.shape) for tensor in program.buffers.values())
    assert statistics == [(3,), (3,), (4,), (4,), (4,), (4,)]
    assert any("module was frozen" in note for note in program.notes)
    gradients = grad(lambda params: program(params, x)[0].square().sum())(dict(program.parameters))
    expected = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
    ours, theirs = (sorted(float(g.norm()) for g in found) for found in (gradients.values(), expected))
    # Each parameter has its gradient, whatever it is called now; float32 sums of a few hundred terms.
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_network_frozen_without_folding_has_the_parameters_of_the_network():
    network, x = NETWORKS["residual"]()
    for norm in (network.norm1, network.norm2):
        nn.init.uniform_(norm.bias, 0.5, 1.5)
    frozen = torch.jit.freeze(torch.jit.script(network), optimize_numerics=False)
    program = read_torchscript(saved(frozen)).program
    assert sum(t.numel() for t in program.parameters.values()) == sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(program(program.parameters, x)[0], network(x), rtol=1e-5, atol=1e-6)


class Asking(nn.Module):
    """Parameters that freezing keeps as they are and uses by way of other operators, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.rand(1, 2, 6))
        self.attention = nn.MultiheadAttention(6, 2, kdim=5, vdim=5, batch_first=True)
        nn.init.uniform_(self.attention.in_proj_bias)
        self.prototypes = nn.Parameter(torch.rand(3, 6))
        self.places = nn.Parameter(torch.rand(9, 5))
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -1e9]))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places[: x.shape[1]]
        pooled = self.attention(self.query.expand(x.shape[0], -1, -1), x, x, need_weights=False)[0].mean(1)
        return pooled @ functional.normalize(self.prototypes, dim=-1).t() + self.mask


def test_constants_that_reach_weight_positions_through_other_operators_are_parameters_and_masks_are_none():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, x = Asking().eval(), torch.randn(2, 4, 5)
    program = read_torchscript(saved(torch.jit.freeze(torch.jit.script(network)))).program
    torch.testing.assert_close(program(program.parameters, x)[0], network(x), rtol=1e-5, atol=1e-6)
    numbers = torch.cat([tensor.reshape(-1) for tensor in program.parameters.values()])
    expected = torch.cat([tensor.detach().reshape(-1) for tensor in network.parameters()])
    assert torch.equal(numbers.sort().values, expected.sort().values)
    gradients = grad(lambda params: program(params, x)[0][:, :2].square().sum())(dict(program.parameters))
    theirs = torch.autograd.grad(network(x)[:, :2].square().sum(), list(network.parameters()))
    for given in (gradients["matmul_0.other"], gradients["add_0.other"]):
        assert any(
            other.shape == given.shape and torch.allclose(other, given, rtol=1e-4, atol=1e-6) for other in theirs
        )
