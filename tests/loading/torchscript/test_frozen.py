"""Frozen modules whose normalisations are not folded: constants in their own layers, named and differentiated."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad

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
