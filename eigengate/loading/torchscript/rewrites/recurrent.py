"""Recurrent layers: PyTorch's kernels for plain gradients, step by step for every other derivative.

The kernels have no batching rule, no forward mode and, on some devices, no second derivative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.first_order import first_order, is_transformed

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


def _scan(
    cell: Cell, steps: Sequence[Tensor], state: State, weights: _Weights, alive: Sequence[Tensor] | None
) -> tuple[list[Tensor], State]:
    """The outputs and the last state; where a sequence is not alive, its state stays what it was."""
    outputs = []
    for place, x in enumerate(steps):
        following = cell(x, state, weights)
        if alive is not None:
            following = tuple(torch.where(alive[place], new, old) for new, old in zip(following, state, strict=True))
        state = following
        outputs.append(state[0])
    return outputs, state


def _run(
    cell: Cell, steps: Sequence[Tensor], state: State, flags: Mapping[str, Any], alive: Sequence[Tensor] | None = None
) -> tuple[Sequence[Tensor], State]:
    """All layers and directions over a sequence of inputs; the outputs of the last layer and every last state."""
    both = 2 if flags["bidirectional"] else 1
    weights = _directions(flags["params"], flags["num_layers"] * both, flags["has_biases"])
    last: list[State] = []
    for layer in range(flags["num_layers"]):
        sides = []
        for side in range(both):
            turn = slice(None, None, -1) if side else slice(None)
            index = layer * both + side
            start = tuple(part[index] for part in state)
            outputs, end = _scan(cell, steps[turn], start, weights[index], alive and alive[turn])
            sides.append(outputs[turn])
            last.append(end)
        steps = [torch.cat(parts, -1) for parts in zip(*sides, strict=True)] if both == 2 else sides[0]
    return steps, tuple(torch.stack(parts) for parts in zip(*last, strict=True))


Layers = Callable[..., tuple[Tensor, ...]]


def _layers(kernel: Layers, cell: Cell) -> Layers:
    """All layers over sequences of one length."""

    def formula(input: Tensor, state: State, flags: Mapping[str, Any]) -> tuple[Tensor, ...]:
        time = input.dim() - 2 if flags["batch_first"] else 0
        outputs, last = _run(cell, input.unbind(time), state, flags)
        return (torch.stack(list(outputs), time), *last)

    def fused(input: Tensor, hx: Any, flags: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return kernel(input, hx, *_kernel_flags(flags), flags["batch_first"])

    def run(input: Tensor, *, hx: Any, **flags: Any) -> tuple[Tensor, ...]:
        return _by_either(fused, formula, input, hx, flags)

    return run


def _packed_layers(kernel: Layers, cell: Cell) -> Layers:
    """The same over sequences of unequal length that lie in one row: first what exists at time 0, then at time 1, …"""

    def formula(data: Tensor, state: State, flags: Mapping[str, Any]) -> tuple[Tensor, ...]:
        sizes = flags["batch_sizes"].tolist()
        rows = torch.arange(sizes[0], device=data.device).unsqueeze(1)
        steps = [functional.pad(step, (0, 0, 0, sizes[0] - step.shape[0])) for step in torch.split(data, sizes)]
        outputs, last = _run(cell, steps, state, flags, [rows < size for size in sizes])
        return (torch.cat([output[:size] for output, size in zip(outputs, sizes, strict=True)]), *last)

    def fused(data: Tensor, hx: Any, flags: Mapping[str, Any]) -> tuple[Tensor, ...]:
        return kernel(data, flags["batch_sizes"], hx, *_kernel_flags(flags))

    def run(data: Tensor, *, hx: Any, **flags: Any) -> tuple[Tensor, ...]:
        return _by_either(fused, formula, data, hx, flags)

    return run


def _by_either(fused: Layers, formula: Layers, x: Tensor, hx: Any, flags: Mapping[str, Any]) -> tuple[Tensor, ...]:
    if flags["train"] and flags["dropout"] > 0:
        raise UnsupportedOperatorError(
            "Dropout between recurrent layers draws random numbers", hint="Export in eval mode."
        )
    state = _state(hx)
    count = len(state)

    def by_formula(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return formula(x, rest[:count], {**flags, "params": rest[count:]})

    def by_kernel(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = rest[:count] if isinstance(hx, list | tuple) else rest[0]
        return fused(x, given, {**flags, "params": rest[count:]})

    return first_order(by_kernel, by_formula, x, *state, *flags["params"])


def _kernel_flags(flags: Mapping[str, Any]) -> tuple[Any, ...]:
    # Without dropout, training is the same function; and only so does cuDNN keep what its backward pass needs.
    training = torch.is_grad_enabled()
    return flags["params"], flags["has_biases"], flags["num_layers"], 0.0, training, flags["bidirectional"]


def _state(hx: Any) -> State:
    return tuple(hx) if isinstance(hx, list | tuple) else (hx,)


def _single(kernel: Callable[..., Any], cell: Cell) -> Callable[..., Any]:
    """One step; its kernel has every derivative that reverse mode takes."""

    def run(
        input: Tensor,
        *,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        if not is_transformed():
            return kernel(input, hx, w_ih, w_hh, b_ih, b_hh)
        following = cell(input, _state(hx), _Weights(w_ih, w_hh, b_ih, b_hh))
        return following if len(following) > 1 else following[0]

    return run


REWRITES: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::lstm.input": _layers(torch.lstm, _lstm_step),
    "aten::gru.input": _layers(torch.gru, _gru_step),
    "aten::rnn_tanh.input": _layers(torch.rnn_tanh, _elman_step(torch.tanh)),
    "aten::rnn_relu.input": _layers(torch.rnn_relu, _elman_step(torch.relu)),
    "aten::lstm.data": _packed_layers(torch.lstm, _lstm_step),
    "aten::gru.data": _packed_layers(torch.gru, _gru_step),
    "aten::rnn_tanh.data": _packed_layers(torch.rnn_tanh, _elman_step(torch.tanh)),
    "aten::rnn_relu.data": _packed_layers(torch.rnn_relu, _elman_step(torch.relu)),
    "aten::lstm_cell": _single(torch.lstm_cell, _lstm_step),
    "aten::gru_cell": _single(torch.gru_cell, _gru_step),
    "aten::rnn_tanh_cell": _single(torch.rnn_tanh_cell, _elman_step(torch.tanh)),
    "aten::rnn_relu_cell": _single(torch.rnn_relu_cell, _elman_step(torch.relu)),
}
