"""Views that exist only for the strides a fused kernel gives its result."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap
from torch.nn import functional

from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved

# That a trace keeps what it has seen.
pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")

# Both sides in float64, in another order of the same sums.
ROUNDING = {"rtol": 1e-10, "atol": 1e-12}


class Attention(nn.Module):
    """Heads as most models write them: projected, split, attended to, put together by a view without a copy."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor], causal: bool = False) -> None:
        super().__init__()
        self.projection, self.join, self.causal = nn.Linear(8, 24), join, causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.projection(x).chunk(3, -1)
        q, k, v = (part.view(part.shape[0], part.shape[1], 2, 4).transpose(1, 2) for part in (q, k, v))
        return self.join(functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal), x)


class Scripted(nn.Module):
    """The same in what TorchScript compiles."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.projection(x).view(n, length, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        return y.transpose(1, 2).view(n, length, width)


class Recurrent(nn.Module):
    """States of a layer that gives them time first, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.GRU(8, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.projection(x)[0].transpose(0, 1)
        return y.view(y.shape[0], -1).t()


JOINS = {
    "sizes": lambda y, x: y.transpose(1, 2).view(x.shape),
    "rest": lambda y, x: y.transpose(1, 2).view(x.shape[0], -1, 8),
    "view_as": lambda y, x: y.transpose(1, 2).view_as(x),
    "tokens": lambda y, x: y.transpose(1, 2).view(-1, 8).view(x.shape),
    "permuted": lambda y, x: y.permute(0, 2, 1, 3).view(x.shape[0], x.shape[1], 8),
}


def networks() -> dict[str, tuple[nn.Module, bool]]:
    """Networks, and whether to script them."""
    traced = {join: (Attention(function), False) for join, function in JOINS.items()}
    causal = Attention(JOINS["sizes"], causal=True)
    return {**traced, "causal": (causal, False), "scripted": (Scripted(), True), "recurrent": (Recurrent(), False)}


@pytest.mark.parametrize("name", networks())
def test_a_view_of_a_fused_result_stays_the_view_it_was(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, is_scripted = networks()[name]
        network.double().eval()
        x, v = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    script = torch.jit.script(network) if is_scripted else torch.jit.trace(network, x)
    assert "aten::view" in str(script.inlined_graph)
    program = read_torchscript(saved(script)).program
    parameters = program.parameters

    def lowered(inputs: Tensor) -> Tensor:
        return program(parameters, inputs)[0]

    leaf = x.clone().requires_grad_()
    expected = network(leaf)
    torch.testing.assert_close(lowered(x), expected.detach(), **ROUNDING)
    (slope,) = torch.autograd.grad(expected.sin().sum(), leaf)
    gradient = grad(lambda inputs: lowered(inputs).sin().sum())
    torch.testing.assert_close(gradient(x), slope, **ROUNDING)
    torch.testing.assert_close((slope * v).sum(), jvp(lambda z: lowered(z).sin().sum(), (x,), (v,))[1], **ROUNDING)
    stacked = torch.stack([x, v], -1)
    batched = vmap(lowered, in_dims=-1)(stacked)
    torch.testing.assert_close(batched, torch.stack([lowered(x), lowered(v)]), **ROUNDING)
