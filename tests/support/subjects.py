"""Subjects made from torch modules directly, so that measuring is tested apart from loading."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from eigengate.loading.functional_model import FunctionalModel, OutputSpec
from eigengate.loading.program import Program, Runtime, TensorSpec
from eigengate.operators import CrossEntropy, Loss, SquaredError, Subject


@final
@dataclass(frozen=True)
class ModuleProgram(Program):
    """An ``nn.Module`` in evaluation mode through ``functional_call``."""

    module: nn.Module
    values: Mapping[str, Tensor]
    constants: Mapping[str, Tensor]

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        return self.values

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        return self.constants

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("x", torch.float32, None),)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("logits",)

    @property
    def operators(self) -> tuple[str, ...]:
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def __call__(self, params: Mapping[str, Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        return (torch.func.functional_call(self.module, {**self.constants, **params}, inputs),)

    def to(self, *, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {k: v.to(device=device, dtype=dtype if v.is_floating_point() else None) for k, v in tensors.items()}

        return replace(self, values=move(self.values), constants=move(self.constants))

    def without_closing_softmax(self, output: int) -> Self | None:
        return None

    embedding = None

    def watch(self, params: Mapping[str, Tensor], *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "logits", self(params, *inputs)[0]


@final
class NoRuntime(Runtime):
    """Nothing here certifies."""

    name = "none"

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def values(self, names, *inputs: Tensor) -> dict[str, Tensor]:
        return {}


def functional_model(module: nn.Module) -> FunctionalModel:
    module.eval()
    values = {name: p.detach().clone() for name, p in module.named_parameters()}
    constants = {name: b.detach().clone() for name, b in module.named_buffers()}
    program = ModuleProgram(module, values, constants)
    return FunctionalModel(program, NoRuntime(), OutputSpec("logits", 0), "torchscript", "0" * 64, tuple(values), {})


def subject_of(
    module: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    loss: Loss | None = None,
    dtype: torch.dtype = torch.float64,
) -> Subject:
    """The module on probe data in the given dtype; class targets unless ``loss`` says otherwise."""
    model = functional_model(module).to(dtype=dtype)
    x = x.to(dtype)
    labels_given = y is not None
    if y is None:
        y = model.apply(model.params, x).argmax(1)
    if y.is_floating_point():
        y = y.to(dtype)
        loss = loss or SquaredError()
    return Subject(model, (x,), y, labels_given, loss or CrossEntropy())


def in_dtype(subject: Subject, dtype: torch.dtype) -> Subject:
    """The same subject computed in another dtype."""
    y = subject.y.to(dtype) if subject.y.is_floating_point() else subject.y
    inputs = tuple(t.to(dtype) if t.is_floating_point() else t for t in subject.inputs)
    return replace(subject, model=subject.model.to(dtype=dtype), inputs=inputs, y=y)


@final
class Attention(nn.Module):
    """One self-attention block over a [length, width] input, written out, with layer normalisation."""

    def __init__(self, length: int, width: int, classes: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(length * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        mixed = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v
        return self.head(self.norm(x + mixed).flatten(1))


def mlp(inputs: int = 6, hidden: int = 8, classes: int = 3, *, activation: type[nn.Module] = nn.Tanh, seed: int = 0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, classes)).double()


def cnn(seed: int = 0) -> nn.Module:
    """Convolution, batch normalisation with used statistics, pooling; 1x6x6 inputs, 3 classes."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 3)
    ).double()
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(16, 1, 6, 6, dtype=torch.float64))
    return net


def attention(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Attention(4, 5, 3).double()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def classes(n: int, count: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(count, (n,), generator=torch.Generator().manual_seed(seed))


def small_subject(kind: str, n: int = 5, dtype: torch.dtype = torch.float64) -> Subject:
    """A network of the given kind on a few labelled samples."""
    module, shape = {"mlp": (mlp(), (6,)), "cnn": (cnn(), (1, 6, 6)), "attention": (attention(), (4, 5))}[kind]
    return subject_of(module, normal(n, *shape, seed=1), classes(n, seed=2), dtype=dtype)


def digits(n: int) -> tuple[Tensor, Tensor]:
    """The first n scikit-learn digits scaled to [0, 1], and their classes."""
    data = load_digits()
    return torch.from_numpy(data.data[:n] / 16.0), torch.from_numpy(data.target[:n]).long()
