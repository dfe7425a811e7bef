"""Networks of the sciences: a sine network with its own derivative, graph convolution, ODE nets with a loop."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, vectors
from tests.support.zoo.folding import COMPUTED


class Sine(nn.Module):
    def __init__(self, inner: int, outer: int, frequency: float) -> None:
        super().__init__()
        self.linear, self.frequency = nn.Linear(inner, outer), frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * self.linear(x))


def siren() -> nn.Module:
    return nn.Sequential(Sine(2, 8, 3.0), Sine(8, 8, 1.5), nn.Linear(8, 2))


class GraphConvolution(nn.Module):
    """The graph is part of the network: its normalised adjacency matrix is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 4, 2]])
        adjacency = torch.eye(5)
        adjacency[edges[0], edges[1]] = adjacency[edges[1], edges[0]] = 1.0
        degrees = adjacency.sum(1).rsqrt()
        self.register_buffer("adjacency", degrees[:, None] * adjacency * degrees)
        self.weight1, self.weight2 = nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(4, 4))
        self.bias1 = nn.Parameter(torch.zeros(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.adjacency @ x @ self.weight1 + self.bias1)
        return self.head(F.elu(torch.matmul(self.adjacency, x @ self.weight2)).mean(1))


class GraphAttention(nn.Module):
    """The graph is fed, one per sample, and says who may attend to whom."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.scores = nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        x = self.project(x)
        sent, received = self.scores(x).unbind(-1)
        scores = F.leaky_relu(sent[:, :, None] + received[:, None, :], 0.2)
        scores = torch.where(graph > 0.5, scores, torch.full_like(scores, -1e9))
        return self.head(F.elu(scores.softmax(-1) @ x).mean(1))


def nodes_and_graph(generator: torch.Generator) -> tuple[Tensor, ...]:
    graph = torch.rand(3, 4, 4, generator=generator).round()
    return torch.randn(3, 4, 3, generator=generator), (graph + torch.eye(4)).clamp(max=1)


class NeuralODE(nn.Module):
    """Runge-Kutta steps of a trained field, the same parameters at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.head = nn.Linear(3, 4), nn.Linear(4, 3)
        self.field = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode(x)
        for _ in range(3):
            middle = x + 0.125 * self.field(x)
            x = x + 0.25 * self.field(middle)
        return self.head(x)


class Recurrence(nn.Module):
    """A cell applied in a loop over as many steps as the input has."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.onward = nn.Linear(3, 4), nn.Linear(4, 4, bias=False)
        self.rate = nn.Parameter(torch.zeros(4))
        self.head = nn.Linear(4, 3)

    def speed(self) -> Tensor:
        return torch.sigmoid(self.rate)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], 4, dtype=x.dtype, device=x.device)
        for step in range(x.shape[1]):
            state = state + self.speed() * torch.tanh(self.inward(x[:, step]) + self.onward(state))
        return self.head(state)


class RecurrenceOfComputedSpeed(Recurrence):
    def speed(self) -> Tensor:
        return self.rate


def speed_computed(module: nn.Module) -> nn.Module:
    """What is a function of parameters alone is computed in advance."""
    module.rate = nn.Parameter(module.speed())
    module.__class__ = RecurrenceOfComputedSpeed
    return module


SCIENTIFIC = {
    "siren": Architecture(siren, vectors(2), torchscript=(11,), dynamo=(20,)),
    "graph_convolution": Architecture(GraphConvolution, vectors(5, 3), torchscript=(13,), dynamo=(19,)),
    "graph_attention": Architecture(GraphAttention, nodes_and_graph, torchscript=(18,), dynamo=(22,)),
    "neural_ode": Architecture(NeuralODE, vectors(3), torchscript=(17,), dynamo=(21,)),
    "recurrence": Architecture(Recurrence, vectors(4, 3), torchscript=(16,), scripted=True),
    "unrolled_recurrence": Architecture(
        Recurrence,
        vectors(4, 3),
        torchscript=(20,),
        dynamo=(18,),
        folded={"dynamo": speed_computed},
        said={"dynamo": COMPUTED.format(1)},
    ),
}
