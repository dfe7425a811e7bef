"""Networks that draw random numbers when they are evaluated, one for each way to do so."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Random(nn.Module):
    """A layer, and whatever draws random numbers behind it."""

    def __init__(self, rest: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.layer, self.rest = nn.Linear(6, 6), rest

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(torch.tanh(self.layer(x)))


class Sequences(nn.Module):
    """Recurrent layers over four copies of a sample, dropout between the layers."""

    def __init__(self, layers: nn.RNNBase) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unsqueeze(1) * torch.linspace(0.5, 2, 4).unsqueeze(1)
        if self.layers.batch_first:
            return self.layers(steps)[0].flatten(1)
        return self.layers(steps.transpose(0, 1))[0].transpose(0, 1).flatten(1)


class DeadDraw(nn.Module):
    """A draw that the graph has, but that nobody reads: it moves the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.noisy = False

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand_like(x)
        if self.noisy:
            x = x + noise
        return x * torch.rand_like(x)


class Branch(nn.Module):
    """How much is drawn depends on the data, and so does what is drawn afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = x + torch.randn_like(x)
        for _ in range(2):
            x = F.dropout(x, 0.4)
        return x


def _image(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], 2, 3, 1) * torch.linspace(0.5, 2, 4)


def _attended(**options: object) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        q = _image(x).transpose(1, 3)
        return F.scaled_dot_product_attention(q, q.sin(), q.cos(), dropout_p=0.3, **options).flatten(1)

    return run


def _distributions(x: Tensor) -> Tensor:
    empty = torch.empty_like
    noise = empty(x).normal_(1, 2) * empty(x).uniform_(-1, 2) + empty(x).exponential_(2.0)
    return x * noise + empty(x).log_normal_() + empty(x).geometric_(0.3) + torch.empty(6).cauchy_().atan()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: Random(nn.Dropout(0.3)),
    "dropout_in_place": lambda: Random(lambda x: F.dropout(x * 2, 0.3, inplace=True)),
    "dropout_of_all": lambda: Random(lambda x: F.dropout(x, 1.0) + F.dropout(x, 0.5)),
    "dropout_transposed": lambda: Random(lambda x: F.dropout(_image(x).transpose(1, 3), 0.5).flatten(1)),
    "feature_dropout": lambda: Random(lambda x: F.dropout2d(_image(x), 0.5).flatten(1)),
    "alpha_dropout": lambda: Random(nn.AlphaDropout(0.3)),
    "feature_alpha_dropout": lambda: Random(lambda x: F.feature_alpha_dropout(_image(x), 0.3, True).flatten(1)),
    "attention": lambda: Random(_attended()),
    "attention_causal": lambda: Random(_attended(is_causal=True)),
    "attention_masked": lambda: Random(_attended(attn_mask=torch.ones(3, 3, dtype=torch.bool).tril())),
    "lstm": lambda: Random(Sequences(nn.LSTM(6, 4, 2, dropout=0.4, bidirectional=True, batch_first=True))),
    "gru": lambda: Random(Sequences(nn.GRU(6, 4, 3, dropout=0.4))),
    "rand": lambda: Random(lambda x: x * torch.rand(6) + torch.rand(1, 6, dtype=torch.float64)),
    "randn": lambda: Random(lambda x: x * torch.randn(40, 6).sum(0)),
    "like": lambda: Random(lambda x: x * torch.rand_like(x) + torch.randn_like(x)),
    "integers": lambda: Random(lambda x: x * torch.randint(5, (6,)) + torch.randint(2, 9, (1, 6))),
    "integers_like": lambda: Random(lambda x: x * torch.randint_like(x, 5) + torch.randint_like(x, 2, 9)),
    "permutation": lambda: Random(lambda x: x[:, torch.randperm(6)]),
    "normal": lambda: Random(lambda x: torch.normal(x, x.exp()) + torch.normal(x, 2.0) + torch.normal(0.5, x.exp())),
    "normal_of_size": lambda: Random(lambda x: x * torch.normal(1.0, 2.0, (6,))),
    "bernoulli": lambda: Random(lambda x: x * torch.bernoulli(torch.sigmoid(x)) + torch.bernoulli(x, 0.3)),
    "bernoulli_in_place": lambda: Random(
        lambda x: x * (torch.empty_like(x).bernoulli_(0.4) + torch.empty_like(x).bernoulli_(torch.sigmoid(x)))
    ),
    "distributions": lambda: Random(_distributions),
    "whole_numbers": lambda: Random(lambda x: x * torch.empty(6).random_(3)),
    "gumbel": lambda: Random(lambda x: F.gumbel_softmax(x, 0.7)),
    "gumbel_hard": lambda: Random(lambda x: x * F.gumbel_softmax(x, 0.7, hard=True)),
    "multinomial": lambda: Random(lambda x: x.gather(1, torch.multinomial(x.softmax(1), 3))),
    "multinomial_replaced": lambda: Random(lambda x: x.gather(1, torch.multinomial(x.softmax(1), 5, replacement=True))),
    "multinomial_one": lambda: Random(lambda x: x * torch.multinomial(x.softmax(1), 1)),
}
SCRIPTED: dict[str, Callable[[], nn.Module]] = {
    "dead_draw": lambda: Random(DeadDraw()),
    "branch": lambda: Random(Branch()),
}


def network(name: str) -> nn.Module:
    """A network with seeded weights, as it is in training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {**NETWORKS, **SCRIPTED}[name]()


def probe(n: int) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(n))
