"""Networks whose explanations are known on paper, as subjects of an audit."""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from eigengate.loading.functional_model import OutputSpec
from eigengate.operators.loss import CrossEntropy, SquaredError
from eigengate.operators.subject import Subject
from tests.support.modules import functional


@final
class Linear(nn.Module):
    """x ↦ W x + b, W [C, d]: its gradient is the same everywhere."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(weight.shape[0], dtype=weight.dtype) if bias is None else bias)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


@final
class Quadratic(nn.Module):
    """x ↦ ½ xᵀAx, A symmetric: its gradient is Ax, so that a change δ of x changes it by Aδ."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * ((x @ self.matrix) * x).sum(dim=1, keepdim=True)


@final
class Scaled(nn.Module):
    """A network whose outputs are multiplied by a factor."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.network(x)


def tanh_network(features: int, classes: int, *, width: int = 16, seed: int = 0) -> nn.Sequential:
    """A small smooth network; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, classes))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def classifier(network: nn.Module, x: Tensor) -> Subject:
    """The network as a classifier of x, in the dtype of x."""
    model = functional(network).to(dtype=x.dtype)
    f = model.apply(model.params, x).detach()
    return Subject(model, (x,), f.argmax(dim=1), False, CrossEntropy())


def regressor(network: nn.Module, x: Tensor) -> Subject:
    """The network as a regression on x, in the dtype of x."""
    model = replace(functional(network).to(dtype=x.dtype), output=OutputSpec("y", 0, kind="regression"))
    return Subject(model, (x,), model.apply(model.params, x).detach(), False, SquaredError())
