"""Networks that differ in what they take and what they give back."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    """One layer; ``tensors`` are those of its result, in order."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(3, 3)

    @torch.jit.unused
    def tensors(self, x: Tensor) -> Iterator[Tensor]:
        yield from _flat(self(x))


def _flat(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from _flat(item)


class Named(NamedTuple):
    logits: Tensor
    hidden: Tensor


class NestedNamed(NamedTuple):
    logits: Tensor
    states: tuple[Tensor, Tensor]
    scale: Tensor


class DictionaryOut(Layer):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(x), "hidden": 2 * x}


class NamedOut(Layer):
    def forward(self, x: Tensor) -> Named:
        return Named(self.layer(x), 2 * x)


class NestedNamedOut(Layer):
    def forward(self, x: Tensor) -> NestedNamed:
        return NestedNamed(self.layer(x), (2 * x, 3 * x), 4 * x)


class TupleOut(Layer):
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return self.layer(x), (2 * x, 3 * x)


class OptionalMask(Layer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out = self.layer(x)
        return out if mask is None else out * mask


class NumbersWithDefaults(Layer):
    def forward(self, x: Tensor, scale: float = 2.0, power: int = 2, shifted: bool = True) -> Tensor:
        out = self.layer(x) ** power * scale
        return out + 1 if shifted else out


class TupleIn(Layer):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return self.layer(pair[0]) * pair[1]


class DictionaryIn(Layer):
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.layer(inputs["x"])


class NumberWithoutDefault(Layer):
    def forward(self, x: Tensor, scale: float) -> Tensor:
        return self.layer(x) * scale
