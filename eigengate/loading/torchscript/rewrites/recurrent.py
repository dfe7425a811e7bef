"""Recurrent layers step by step: the fused kernels have no batching rule and, on some devices, no second derivative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.errors import UnsupportedOperatorError

State = tuple[Tensor, ...]


@final
@dataclass(frozen=True)
class _Weights:
    """One direction of one layer."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    projection: Tensor | None = None


Cell = Callable[[Tensor, State, _Weights], State]
"""(input, state, weights) to the next state, whose first tensor is the output."""


def _lstm_step(x: Tensor, state: State, w: _Weights) -> State:
    hidden, cell = state
    gates = functional.linear(x, w.w_ih, w.b_ih) + functional.linear(hidden, w.w_hh, w.b_hh)
    enter, forget, candidate, out = gates.chunk(4, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    hidden = torch.sigmoid(out) * torch.tanh(cell)
    return (hidden if w.projection is None else functional.linear(hidden, w.projection)), cell


def _gru_step(x: Tensor, state: State, w: _Weights) -> State:
    (hidden,) = state
    reset_x, update_x, new_x = functional.linear(x, w.w_ih, w.b_ih).chunk(3, -1)
    reset_h, update_h, new_h = functional.linear(hidden, w.w_hh, w.b_hh).chunk(3, -1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (new + update * (hidden - new),)


def _elman_step(activation: Callable[[Tensor], Tensor]) -> Cell:
    def step(x: Tensor, state: State, w: _Weights) -> State:
        (hidden,) = state
        return (activation(functional.linear(x, w.w_ih, w.b_ih) + functional.linear(hidden, w.w_hh, w.b_hh)),)

    return step


def _directions(params: Sequence[Tensor], count: int, has_biases: bool) -> list[_Weights]:
    each = len(params) // count
    groups = [params[index * each : (index + 1) * each] for index in range(count)]
    # Order within a direction: w_ih, w_hh, [b_ih, b_hh], [projection].
    if has_biases:
        return [_Weights(*group) for group in groups]
    return [_Weights(group[0], group[1], projection=group[2] if len(group) > 2 else None) for group in groups]


def _scan(cell: Cell, steps: Sequence[Tensor], state: State, weights: _Weights) -> tuple[list[Tensor], State]:
    outputs = []
    for x in steps:
        state = cell(x, state, weights)
        outputs.append(state[0])
    return outputs, state


def _run(cell: Cell, input: Tensor, state: State, layers: int, flags: Mapping[str, Any]) -> tuple[Tensor, State]:
    if flags["train"] and flags["dropout"] > 0:
        raise UnsupportedOperatorError(
            "Dropout between recurrent layers draws random numbers", hint="Export in eval mode."
        )
    time = input.dim() - 2 if flags["batch_first"] else 0
    steps = list(input.unbind(time))
    both = 2 if flags["bidirectional"] else 1
    last: list[State] = []
    for layer in range(layers):
        sides = []
        for side in range(both):
            index = layer * both + side
            start = tuple(part[index] for part in state)
            outputs, end = _scan(cell, steps[::-1] if side else steps, start, flags["weights"][index])
            sides.append(outputs[::-1] if side else outputs)
            last.append(end)
        steps = [torch.cat(parts, -1) for parts in zip(*sides, strict=True)] if both == 2 else sides[0]
    return torch.stack(steps, time), tuple(torch.stack(parts) for parts in zip(*last, strict=True))


def _layers(cell: Cell) -> Callable[..., tuple[Tensor, ...]]:
    def run(input: Tensor, *, hx: Any, params: Sequence[Tensor], num_layers: int, **flags: Any) -> tuple[Tensor, ...]:
        count = num_layers * (2 if flags["bidirectional"] else 1)
        weights = _directions(params, count, flags["has_biases"])
        state = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
        output, last = _run(cell, input, state, num_layers, flags | {"weights": weights})
        return (output, *last)

    return run


def _single(cell: Cell) -> Callable[..., Any]:
    def run(
        input: Tensor,
        *,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        state = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
        following = cell(input, state, _Weights(w_ih, w_hh, b_ih, b_hh))
        return following if len(following) > 1 else following[0]

    return run


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::lstm.input": _layers(_lstm_step),
    "aten::gru.input": _layers(_gru_step),
    "aten::rnn_tanh.input": _layers(_elman_step(torch.tanh)),
    "aten::rnn_relu.input": _layers(_elman_step(torch.relu)),
    "aten::lstm_cell": _single(_lstm_step),
    "aten::gru_cell": _single(_gru_step),
    "aten::rnn_tanh_cell": _single(_elman_step(torch.tanh)),
    "aten::rnn_relu_cell": _single(_elman_step(torch.relu)),
}
