"""Modules made for another machine: their devices and their fused operators, undone for us and for the executor."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp
from torch.nn import functional

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved


@torch.jit.script
def shifted(x: Tensor) -> Tensor:
    return x + torch.ones(1, device=torch.device("cuda:1"))


class ElseWhere(nn.Module):
    """Devices as constants, in a function of its own, by method and by default."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 1:
            x = x.cuda()
        return shifted(x.to("cuda")) + torch.full([1], 2.0, device="cuda:0")


def test_a_module_for_another_device_runs_here_and_in_the_executor_and_is_named():
    lowered = read_torchscript(saved(torch.jit.script(ElseWhere())))
    x = torch.rand(2, 3)
    torch.testing.assert_close(lowered.program({}, x)[0], x + 3)
    torch.testing.assert_close(lowered.runtime(x)[0], x + 3)
    (note,) = lowered.program.notes
    assert note.startswith("Made for another machine: aten::cuda, cuda, cuda:0, cuda:1.")


class Fused(nn.Module):
    """What ``torch.jit.optimize_for_inference`` makes of convolutions where the vendor's library has more."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)))
        self.second = nn.Parameter(torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(1)))
        self.bias = nn.Parameter(torch.linspace(-1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cudnn_convolution_relu(x, self.first, self.bias, [1, 1], [0, 0], [1, 1], 1)
        y = torch.cudnn_convolution_add_relu(y, self.second, y, 0.5, self.bias, [1, 1], [1, 1], [1, 1], 1)
        return torch.mkldnn_convolution(y, self.second, None, [1, 1], [2, 2], [1, 1], 1)

    def plain(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.first, self.bias).relu()
        y = (functional.conv2d(y, self.second, self.bias, padding=1) + 0.5 * y).relu()
        return functional.conv2d(y, self.second, stride=2, padding=1)


def test_fused_convolutions_become_plain_ones_with_every_derivative():
    network, x = Fused(), torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    lowered = read_torchscript(saved(torch.jit.script(network)))
    program = lowered.program
    # The same kernels in the same order.
    torch.testing.assert_close(program(program.parameters, x)[0], network.plain(x), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(lowered.runtime(x)[0], network.plain(x), rtol=1e-6, atol=1e-6)
    assert "aten::cudnn_convolution_add_relu, aten::cudnn_convolution_relu" in program.notes[0]
    assert not any("cudnn" in operator for operator in program.operators)

    def slope(function):
        return grad(lambda inputs: function(inputs).square().sum())

    expected = jvp(slope(network.plain), (x,), (x.cos(),))[1]
    ours = jvp(slope(lambda inputs: program(program.parameters, inputs)[0]), (x,), (x.cos(),))[1]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("form", [torch.jit.script, lambda network: torch.jit.trace(network, torch.rand(2, 3))])
def test_a_module_of_this_machine_is_left_alone(form):
    assert read_torchscript(saved(form(nn.Linear(3, 2).eval()))).program.notes == ()
