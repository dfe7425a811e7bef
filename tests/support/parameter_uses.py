"""Networks in which parameters meet data in every way the sweep tells apart; three outputs, one input tensor each."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tests.support.subjects import normal

Subject = tuple[nn.Module, Tensor]


class Written(nn.Module):
    """A function of parameters that are made here."""

    def __init__(self, function: Callable[..., Tensor], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        for seed, (name, shape) in enumerate(shapes.items()):
            self.register_parameter(name, nn.Parameter(0.5 * normal(*shape, seed=seed)))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **dict(self.named_parameters(recurse=False)))


def convolved(kind: type[nn.Module], size: tuple[int, ...], **options: object) -> Subject:
    """A convolution of four channels to six, and what it gives averaged into three outputs."""
    torch.manual_seed(0)
    return nn.Sequential(kind(4, 6, **options), nn.Tanh(), nn.Flatten(), _Thirds()), normal(3, 4, *size)


class _Thirds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([part.mean(1) for part in torch.tensor_split(x, 3, 1)], 1)


class Tied(nn.Module):
    """One matrix that reads tokens in and scores them out; every word read more than once."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 5, padding_idx=1)
        self.mix = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        words = (x > 0).long() + (x > 1).long()
        read = (self.table(words) * torch.tanh(x).unsqueeze(-1)).mean(1)
        return F.linear(torch.tanh(self.mix(read)), self.table.weight)


class Recurrent(nn.Module):
    """The same two matrices and two biases at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.RNNCell(2, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.new_zeros(x.shape[0], 4)
        for step in x.unbind(1):
            hidden = self.cell(step, hidden)
        return self.head(hidden)


def _head(features: Tensor, w: Tensor) -> Tensor:
    return features.flatten(1) @ w


def _normed(module: nn.Module, shape: tuple[int, ...]) -> Subject:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return nn.Sequential(module, nn.Tanh(), nn.Flatten(), _Thirds()), normal(3, *shape)


USES: Mapping[str, Callable[[], Subject]] = {
    "conv1d": lambda: convolved(nn.Conv1d, (9,), kernel_size=3, stride=2, padding=1),
    "conv2d grouped dilated": lambda: convolved(
        nn.Conv2d, (7, 6), kernel_size=(3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2
    ),
    "conv2d of one place": lambda: convolved(nn.Conv2d, (3, 3), kernel_size=3),
    "conv2d pointwise strided": lambda: convolved(nn.Conv2d, (5, 5), kernel_size=1, stride=2, bias=False),
    "conv2d same, reflected": lambda: convolved(nn.Conv2d, (5, 5), kernel_size=3, padding=1, padding_mode="reflect"),
    "conv3d": lambda: convolved(nn.Conv3d, (4, 5, 3), kernel_size=(2, 3, 2), padding=(0, 1, 1), dilation=(1, 2, 1)),
    "transposed conv1d": lambda: convolved(nn.ConvTranspose1d, (5,), kernel_size=3, stride=2, output_padding=1),
    "transposed conv2d grouped": lambda: convolved(
        nn.ConvTranspose2d, (4, 3), kernel_size=3, stride=2, padding=1, output_padding=1, groups=2
    ),
    "transposed conv3d dilated": lambda: convolved(nn.ConvTranspose3d, (2, 3, 2), kernel_size=2, dilation=2),
    "kernel on one side": lambda: (
        Written(lambda x, w, v: _head(F.conv2d(torch.tanh(x), w), v), w=(2, 1, 2, 2), v=(8, 3)),
        normal(3, 1, 3, 3),
    ),
    "data as kernel": lambda: (
        Written(
            lambda x, w, v: torch.stack([F.conv1d(w, k).flatten() @ v for k in x.unbind()]),
            w=(1, 2, 5),
            v=(16, 3),
        ),
        normal(3, 4, 2, 2),
    ),
    "batch norm": lambda: _normed(nn.BatchNorm2d(3), (3, 2, 2)),
    "batch norm 1d": lambda: _normed(nn.BatchNorm1d(6), (6,)),
    "layer norm": lambda: _normed(nn.LayerNorm([3, 4]), (2, 3, 4)),
    "layer norm of rows": lambda: _normed(nn.LayerNorm(4), (3, 4)),
    "group norm": lambda: _normed(nn.GroupNorm(2, 6), (6, 3)),
    "instance norm": lambda: _normed(nn.InstanceNorm2d(3, affine=True), (3, 4, 3)),
    "rms norm": lambda: _normed(nn.RMSNorm(4), (3, 4)),
    "prelu": lambda: _normed(nn.PReLU(3), (3, 4)),
    "left factor": lambda: (
        Written(lambda x, w, v: _head(torch.tanh(w @ x), v), w=(4, 5), v=(12, 3)),
        normal(3, 5, 3),
    ),
    "stack of matrices": lambda: (
        Written(lambda x, w, v: _head(torch.einsum("ngi,gio->ngo", x, w).tanh(), v), w=(2, 3, 4), v=(8, 3)),
        normal(3, 2, 3),
    ),
    "addmm with factors": lambda: (
        Written(lambda x, w, b: torch.addmm(b, x, w, beta=0.5, alpha=-2.0), w=(4, 3), b=(3,)),
        normal(3, 4),
    ),
    "sums, differences, gains": lambda: (
        Written(
            lambda x, a, b, c, w: _head(torch.tanh((a - x) * b + torch.sub(x, c, alpha=3)), w),
            a=(4,),
            b=(2, 1),
            c=(),
            w=(8, 3),
        ),
        normal(3, 2, 4),
    ),
    "quotient and power": lambda: (
        Written(lambda x, a, b, w: _head(torch.tanh(x / a.exp()) + x.abs().pow(b.abs()), w), a=(4,), b=(4,), w=(4, 3)),
        normal(3, 4),
    ),
    "concatenated token": lambda: (
        Written(
            lambda x, cls, pos, w: _head(torch.tanh(torch.cat([cls.expand(len(x), 1, 4), x], 1) + pos), w),
            cls=(1, 1, 4),
            pos=(1, 3, 4),
            w=(12, 3),
        ),
        normal(3, 2, 4),
    ),
    "indexed bias": lambda: (
        Written(
            lambda x, table, w: _head(torch.tanh(x + table[torch.tensor([[0, 1], [1, 2]])]), w), table=(4,), w=(4, 3)
        ),
        normal(3, 2, 2),
    ),
    "weight norm": lambda: (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3)),
        normal(3, 4),
    ),
    "one matrix twice": lambda: (
        Written(lambda x, w, v: torch.tanh(torch.tanh(x @ w) @ w) @ v, w=(4, 4), v=(4, 3)),
        normal(3, 4),
    ),
    "a matrix and its transpose": lambda: (
        Written(lambda x, w, v: torch.tanh(torch.tanh(x @ w) @ w.mT) @ v, w=(4, 5), v=(4, 3)),
        normal(3, 4),
    ),
    "a parameter times a parameter": lambda: (
        Written(lambda x, a, b, v: torch.tanh(x @ (a * b)) @ v + a.sum(), a=(4, 4), b=(4, 4), v=(4, 3)),
        normal(3, 4),
    ),
    "a bias alone": lambda: (Written(lambda x, b: torch.tanh(x) + b, b=(3,)), normal(3, 3)),
    "a parameter nobody reads": lambda: (Written(lambda x, w, unused: x @ w, w=(4, 3), unused=(5,)), normal(3, 4)),
    "in place": lambda: (Written(lambda x, w, b: (x @ w).add_(b).tanh_(), w=(4, 3), b=(3,)), normal(3, 4)),
    "tied embedding": lambda: (_seeded(Tied), normal(3, 6)),
    "recurrent": lambda: (_seeded(Recurrent), normal(3, 5, 2)),
    "attention with a learnt mask": lambda: (
        Written(
            lambda x, q, m, w: _head(
                F.scaled_dot_product_attention((x @ q).unsqueeze(1), x.unsqueeze(1), x.unsqueeze(1), attn_mask=m), w
            ),
            q=(4, 4),
            m=(3, 3),
            w=(12, 3),
        ),
        normal(3, 3, 4),
    ),
}


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build()
