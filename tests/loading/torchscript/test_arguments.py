"""Arguments that a network's own constants settle when it is compiled, and those that come with each call."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved


class Scripted(nn.Module):
    """Defaults, others than defaults, by name and by position, of both number types, known and computed."""

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.arange(3)
        scale = float(x.shape[0])
        y = torch.add(x, x, alpha=2) + torch.sub(x, 1.0, alpha=1) + torch.add(x, x, alpha=scale)
        y = y + torch.add(whole, whole, alpha=3) + torch.sub(whole, whole, alpha=1)
        y = y + x.sum(1, keepdim=True) + x.mean(dim=1, keepdim=True, dtype=torch.float64)
        y = torch.softmax(y, 1) + torch.log_softmax(y, 1, torch.float64)
        z = x.double().clone()
        z.add_(y, alpha=-1)
        return z.clamp(min=-4.0) + torch.zeros(3) + torch.full([3], 0.5, dtype=torch.float32) + x.cumsum(1)


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_settled_arguments_are_those_of_the_file(dtype: torch.dtype | None) -> None:
    x = torch.linspace(-1, 2, 12).reshape(4, 3).to(dtype or torch.float32)
    program = read_torchscript(saved(torch.jit.script(Scripted()))).program
    program = program if dtype is None else program.to(dtype=dtype)
    (y,) = program({}, x)
    # The file's own casts follow the working type.
    assert y.dtype == (dtype or torch.float64)
    # A few dozen roundings of the type it computes in.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(y.double(), Scripted()(x.double()).double(), rtol=tolerance, atol=tolerance)


def test_what_is_settled_is_not_looked_up_at_run_time() -> None:
    program = read_torchscript(saved(torch.jit.trace(nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)), torch.ones(2, 3))))
    linear, softmax = program.program._plan.steps
    assert (len(linear.reads), len(softmax.reads)) == (3, 2)
