"""Recurrent cells as functions of a projected input and a state, and the loop that applies one step after step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from eigengate.loading.onnx.ops._gate_activations import Activation
from eigengate.loading.onnx.registry import Tensors

Cell = Callable[[Tensor, Tensors], Tensors]
"""``cell(x, state)`` is the next state, the hidden one first; x [batch, gates] contains the biases."""


@final
@dataclass(frozen=True)
class SimpleCell:
    """h' = f(x + h Rᵀ); ``recurrent`` is Rᵀ here and below."""

    recurrent: Tensor
    f: Activation

    def __call__(self, x: Tensor, state: Tensors) -> Tensors:
        (h,) = state
        return (self.f(torch.addmm(x, h, self.recurrent)),)


@final
@dataclass(frozen=True)
class GatedCell:
    """GRU that resets the state before its linear map: n = g(x + (r ∘ h) Rᵀ), h' = (1 - z) ∘ n + z ∘ h."""

    recurrent: Tensor
    f: Activation
    g: Activation

    def __call__(self, x: Tensor, state: Tensors) -> Tensors:
        (h,) = state
        size = h.shape[-1]
        gates, candidates = torch.split(self.recurrent, [2 * size, size], 1)
        x_gates, x_candidate = torch.split(x, [2 * size, size], -1)
        z, r = self.f(torch.addmm(x_gates, h, gates)).chunk(2, -1)
        return (torch.lerp(self.g(torch.addmm(x_candidate, r * h, candidates)), h, z),)


@final
@dataclass(frozen=True)
class LinearlyGatedCell:
    """GRU that resets the state after its linear map: n = g(x + r ∘ (h Rᵀ + b)), as cuDNN and torch have it.

    ``bias`` is that of the map, for all three gates; x contains the other one only.
    """

    recurrent: Tensor
    bias: Tensor
    f: Activation
    g: Activation

    def __call__(self, x: Tensor, state: Tensors) -> Tensors:
        (h,) = state
        size = h.shape[-1]
        x_gates, x_candidate = torch.split(x, [2 * size, size], -1)
        gates, candidate = torch.split(torch.addmm(self.bias, h, self.recurrent), [2 * size, size], -1)
        z, r = self.f(x_gates + gates).chunk(2, -1)
        return (torch.lerp(self.g(torch.addcmul(x_candidate, r, candidate)), h, z),)


@final
@dataclass(frozen=True)
class LongCell:
    """LSTM: c' = f ∘ c + i ∘ g, h' = o ∘ h(c'), its gates in the order i, o, f, g.

    Args:
        recurrent: Rᵀ.
        f: Activation of the gates i, o and f.
        g: That of the candidate.
        h: That of the cell state on its way out.
        peepholes: Factors by which i and f see c, and o sees c', in the order i, o, f.
        coupled: Whether the forget gate is 1 - i.
    """

    recurrent: Tensor
    f: Activation
    g: Activation
    h: Activation
    peepholes: Tensor | None
    coupled: bool

    def __call__(self, x: Tensor, state: Tensors) -> Tensors:
        h, c = state
        i, o, f, g = torch.addmm(x, h, self.recurrent).chunk(4, -1)
        see_i, see_o, see_f = (None, None, None) if self.peepholes is None else self.peepholes.chunk(3)
        kept = self.f(_seeing(i, see_i, c))
        forgotten = 1 - kept if self.coupled else self.f(_seeing(f, see_f, c))
        c = forgotten * c + kept * self.g(g)
        return self.f(_seeing(o, see_o, c)) * self.h(c), c


def _seeing(gate: Tensor, peephole: Tensor | None, c: Tensor) -> Tensor:
    return gate if peephole is None else torch.addcmul(gate, peephole, c)


def unroll(cell: Cell, x: Tensor, state: Tensors, seen: Tensor | None, backwards: bool) -> tuple[Tensor, Tensors]:
    """Hidden states [length, batch, size] after each step of x [length, batch, gates], and the last state.

    Steps where ``seen`` [length, batch, 1] is false leave the state as it is and give zeros.
    """
    outputs: list[Tensor] = []
    steps = list(zip(x.unbind(0), [None] * x.shape[0] if seen is None else seen.unbind(0), strict=True))
    for now, valid in reversed(steps) if backwards else steps:
        new = cell(now, state)
        if valid is None:
            state = new
            outputs.append(new[0])
        else:
            state = tuple(torch.where(valid, after, before) for after, before in zip(new, state, strict=True))
            outputs.append(torch.where(valid, new[0], 0))
    return torch.stack(outputs[::-1] if backwards else outputs), state
