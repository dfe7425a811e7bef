"""What TorchScript's own executor has been reported to differentiate wrongly: ours is right on every one of four calls.

Each network is the structure of a report to PyTorch, in sizes for a CPU, traced or scripted as it was there. The truth
is eager autograd's. What the executor answers is not asked: it depends on the release and on the machine.
"""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, vjp, vmap

from eigengate.loading.program import Program
from eigengate.loading.torchscript import read_torchscript
from tests.support.torch_networks import saved

# Exact differentiation both times, in float64: only rounding lies between them.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}
CALLS = 4  # the executor observes the first call or two, then replaces what it runs

Tensors = tuple[Tensor, ...]


class DeterminantOfQuotient(nn.Module):
    """Issue 86804: the Jacobian changes after the first call. Shifted, since the report's matrix is singular."""

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.celu(x)
        return (y / (y * torch.tensor(-2, dtype=torch.float64)) + 3 * x).logdet()


class ChannelNorm(nn.Module):
    """Issue 108670: gradients by the input are wrong from the third call on."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, 4).reshape(1, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        var = x.var(dim=1, keepdim=True, unbiased=False)
        return self.gamma * ((x - mean) / torch.sqrt(var + 1e-5))


class ChannelMean(nn.Module):
    """Issue 108670, second comment: the backward pass fails in the third call."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=1, keepdim=True)


class AtomicEnvironment(nn.Module):
    """Issue 98313: profiling makes forces wrong by 200 %. Radial and angular terms of an atomic environment vector."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shifts", torch.linspace(0.9, 2.5, 4))
        self.register_buffer("sections", torch.linspace(0.2, 2.9, 3))

    def cutoff(self, distances: Tensor) -> Tensor:
        return 0.5 * torch.cos(distances * (3.141592653589793 / 3.5)) + 0.5

    def forward(self, positions: Tensor) -> Tensor:
        first, second = torch.combinations(torch.arange(positions.shape[0]), 2).unbind(1)
        vectors = positions[first] - positions[second]
        distances = vectors.norm(2, dim=-1)
        weight = self.cutoff(distances)
        radial = 0.25 * torch.exp(-16.0 * (distances.unsqueeze(-1) - self.shifts) ** 2) * weight.unsqueeze(-1)
        one, other = torch.combinations(torch.arange(vectors.shape[0]), 2).unbind(1)
        cosine = 0.95 * nn.functional.cosine_similarity(vectors[one], vectors[other], dim=-1)
        factor = ((1 + torch.cos(torch.acos(cosine).unsqueeze(-1) - self.sections)) / 2) ** 14.1
        mean = (distances[one] + distances[other]) / 2
        angular = 2 * factor * torch.exp(-8.0 * (mean - 1.5) ** 2).unsqueeze(-1)
        angular = angular * (weight[one] * weight[other]).unsqueeze(-1)
        return torch.cat([radial.sum(0), angular.sum(0)])


class SoftMargin(nn.Module):
    """Issue 84681: after a call in reverse mode, derivatives in forward mode are zero."""

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return nn.functional.multilabel_soft_margin_loss(x, target)


class GatedLoop(nn.Module):
    """Issue 49764: second derivatives by the weights of a recurrent loop fail in the third call."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.gates = nn.Parameter(torch.randn(7, 8, generator=generator))
        self.out = nn.Parameter(torch.randn(2, 2, generator=generator))

    def forward(self, xs: Tensor, h: Tensor, c: Tensor) -> Tensor:
        for x in xs:
            gates = torch.cat([x, h, c], dim=1) @ self.gates
            i, f, g, o = torch.chunk(torch.sigmoid(gates), 4, dim=1)
            c = f * c + i * (2.0 * g - 1.0)
            h = o * torch.tanh(c)
        return torch.sum(h @ self.out)


class TanhLoop(nn.Module):
    """Issue 32385: weights used once in every turn of a loop get the gradient of some turns."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=False)

    def forward(self, xs: Tensor) -> Tensor:
        h = torch.zeros_like(xs[0])
        for i in range(xs.size(0)):
            h = torch.tanh(h + self.linear(xs[i]))
        return h


class Perceptron(nn.Module):
    """Issue 101241: under ``vmap``, products of the Hessian with several vectors come out as one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Softplus())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ThreeSums(nn.Module):
    """Issue 170680: ``jacrev`` of a sum of three fails in the third call."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x + x


class SineOfSum(nn.Module):
    """Issue 73972: forward mode gives nothing, or zeros, in the second call."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.sin(x + x), x * 2])


class Broadcast(nn.Module):
    """Issues 13669 and 22833: a scalar that is broadcast collects its gradient twice."""

    def forward(self, z: Tensor) -> Tensor:
        broadcast = (z.exp() - torch.zeros(7, dtype=torch.float64)).sum()
        return (z.exp() - 0).sum() + broadcast + (torch.ones(2, dtype=torch.float64) * z**2 - z).sum()


class ZeroTimes(nn.Module):
    """Issue 34116: what ``unbind`` takes apart gives its gradient to nobody, or twice."""

    def forward(self, x: Tensor) -> Tensor:
        (b,) = torch.unbind(torch.zeros(1, dtype=torch.float64) * (x * 1.001), dim=0)
        return x * 1.001 + b


class UsedInsideAndAfter(nn.Module):
    """Issue 66883: a value used inside a differentiated block and again behind it loses the second contribution."""

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.layer_norm(x * 2, [4])
        z = torch.sigmoid(y) * y
        return z + nn.functional.layer_norm(y + z, [4]) * y


class NormOfOne(nn.Module):
    """Issue 85588: the norm has no forward mode once it is scripted."""

    def forward(self, x: Tensor) -> Tensor:
        return x.norm(p=1)


class FilledEmbedding(nn.Module):
    """Issue 54625: an embedding whose rows are filled in place has a wrong gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-1, 1, 12).reshape(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        rows = nn.functional.embedding(torch.tensor([0, 2, 3, 2]), self.table)
        rows = rows * x[:, :3]
        rows.masked_fill_(torch.tensor([[False], [True], [False], [False]]), 0.5)
        return torch.exp(rows).sum(1)


def positive(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1


square = 3 * torch.eye(4, dtype=torch.float64) + positive(4, 4)
REPORTS: list[tuple[nn.Module, str, Tensors]] = [
    (DeterminantOfQuotient(), "scripted", (square,)),
    (ChannelNorm(), "scripted", (positive(2, 4, 3).log(),)),
    (ChannelMean(), "scripted", (positive(2, 4, 3),)),
    (AtomicEnvironment(), "scripted", (positive(4, 3) * 1.7,)),
    (SoftMargin(), "traced", (positive(1, 2), 2 * positive(1, 2))),
    (GatedLoop(), "scripted", (positive(5, 2, 3).log(), positive(2, 2), positive(2, 2))),
    (TanhLoop(), "scripted", (positive(5, 3, 4).log(),)),
    (TanhLoop(), "traced", (positive(5, 3, 4).log(),)),
    (Perceptron(), "scripted", (positive(3, 3).log(),)),
    (ThreeSums(), "scripted", (positive(3),)),
    (SineOfSum(), "scripted", (positive(3),)),
    (Broadcast(), "traced", (positive(1)[0],)),
    (ZeroTimes(), "scripted", (positive(1)[0],)),
    (UsedInsideAndAfter(), "scripted", (positive(3, 4).log(),)),
    (NormOfOne(), "scripted", (positive(1, 4),)),
    (FilledEmbedding(), "scripted", (positive(4, 4),)),
]

report = pytest.mark.parametrize(
    ("network", "form", "inputs"), REPORTS, ids=[f"{type(network).__name__}-{form}" for network, form, _ in REPORTS]
)


def lowered(network: nn.Module, form: str, inputs: Tensors) -> Program:
    module = torch.jit.script(network) if form == "scripted" else torch.jit.trace(network, inputs, check_trace=False)
    return read_torchscript(saved(module)).program


Function = Callable[..., Tensor]


def flat(program: Program, names: list[str], *values: Tensor) -> Tensor:
    """The output for parameters and inputs in one row of arguments."""
    return program(dict(zip(names, values, strict=False)), *values[len(names) :])[0]


def flat_eager(network: nn.Module, names: list[str], *values: Tensor) -> Tensor:
    return functional_call(network, dict(zip(names, values, strict=False)), values[len(names) :])


def score(function: Function, *point: Tensor) -> Tensor:
    return function(*point).sin().sum()


def eager_hessian_product(function: Function, point: Tensors, directions: Tensors) -> Tensors:
    leaves = tuple(x.detach().clone().requires_grad_() for x in point)
    slopes = torch.autograd.grad(score(function, *leaves), leaves, create_graph=True)
    product = sum((slope * v).sum() for slope, v in zip(slopes, directions, strict=True))
    if not product.requires_grad:
        return tuple(map(torch.zeros_like, point))
    return torch.autograd.grad(product, leaves, allow_unused=True, materialize_grads=True)


@report
def test_derivatives_in_both_modes_and_both_orders_stay_right_over_four_calls(network, form, inputs):
    network = network.double().eval()
    names = [name for name, _ in network.named_parameters()]
    point = (*(p.detach() for p in network.parameters()), *inputs)
    directions = tuple(torch.cos(3 * x + 1) for x in point)
    eager = functools.partial(flat_eager, network, names)
    ours = functools.partial(flat, lowered(network, form, inputs), names)
    everywhere = tuple(range(len(point)))
    value, slopes = eager(*point), torch.autograd.functional.jacobian(eager, point)
    product = eager_hessian_product(eager, point, directions)
    gradient = grad(functools.partial(score, ours), argnums=everywhere)
    for _ in range(CALLS):
        torch.testing.assert_close(ours(*point), value, **TOLERANCE)
        torch.testing.assert_close(jacrev(ours, everywhere)(*point), slopes, **TOLERANCE)
        torch.testing.assert_close(jacfwd(ours, everywhere)(*point), slopes, **TOLERANCE)
        torch.testing.assert_close(jvp(gradient, point, directions)[1], product, **TOLERANCE)
        torch.testing.assert_close(vjp(gradient, *point)[1](directions), product, **TOLERANCE)


@report
def test_many_hessian_products_at_once_are_those_one_by_one(network, form, inputs):
    """Issue 101241 for every network: ``vmap`` over vectors gives each its own product."""
    network = network.double().eval()
    names = [name for name, _ in network.named_parameters()]
    point = (*(p.detach() for p in network.parameters()), *inputs)
    ours = functools.partial(flat, lowered(network, form, inputs), names)
    eager = functools.partial(flat_eager, network, names)
    gradient = grad(functools.partial(score, ours), argnums=tuple(range(len(point))))
    vectors = tuple(torch.stack([torch.cos(k * x + 1) for k in (1, 2, 3)]) for x in point)
    expected = [eager_hessian_product(eager, point, tuple(v[k] for v in vectors)) for k in range(3)]
    for _ in range(CALLS):
        products = vmap(vjp(gradient, *point)[1])(vectors)
        for place, together in enumerate(products):
            torch.testing.assert_close(together, torch.stack([one[place] for one in expected]), **TOLERANCE)
