"""Recurrent layers: the input projected for all steps at once, then one cell applied step after step."""

from collections.abc import Callable

import torch
from torch import Tensor

from eigengate.loading.first_order import first_order
from eigengate.loading.onnx.ops._cells import (
    Cell,
    GatedCell,
    LinearlyGatedCell,
    LongCell,
    SimpleCell,
    unroll,
)
from eigengate.loading.onnx.ops._fused_lstm import fused_lstm
from eigengate.loading.onnx.ops._gate_activations import clipped, gate_activations
from eigengate.loading.onnx.registry import Floats, Tensors, operator

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each direction of a layer whether it runs backwards."""
_USUAL_ACTIVATIONS = ("Sigmoid", "Tanh", "Tanh") * 2
"""Those of an LSTM in both directions."""


@operator("RNN", since=7)
def recurrent(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Tensors:
    """Elman network: hₜ = f(xₜ Wᵀ + hₜ₋₁ Rᵀ + b), b the sum of the two halves of B; gives all h and the last one.

    x is [length, batch, inputs]; the parameters have a first axis for the directions, and so have ``initial_h`` and the
    last state, while Y is [length, directions, batch, hidden]. ``layout`` 1, from version 14 on, puts the batch first.
    Beyond ``sequence_lens`` the state stays and Y is zero. ``activations`` are one per direction, their arguments
    clipped to ± ``clip``.
    """
    functions = clipped(gate_activations(activations, activation_alpha, activation_beta), clip)

    def cell(way: int) -> tuple[Cell, Tensor]:
        return SimpleCell(R[way].mT, functions[way]), _projected(x, W[way], _sum_of_biases(B, way))

    return _in_each_direction(cell, x, sequence_lens, (initial_h,), R.shape[-1], direction, layout)


@operator("GRU", since=7)
def gated_recurrent(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: tuple[str, ...] = ("Sigmoid", "Tanh", "Sigmoid", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Tensors:
    """Gated recurrent unit: hₜ = (1 - z) ∘ n + z ∘ hₜ₋₁ with z, r = f(x Wᵀ + h Rᵀ + b) and a candidate n.

    n = g(x Wₙᵀ + (r ∘ h) Rₙᵀ + b), or g(x Wₙᵀ + b + r ∘ (h Rₙᵀ + b')) where ``linear_before_reset`` is set. Rows of the
    parameters are in the order z, r, n; ``activations`` are f and g for each direction. All else is as in ``RNN``.
    """
    functions = clipped(gate_activations(activations, activation_alpha, activation_beta), clip)

    def cell(way: int) -> tuple[Cell, Tensor]:
        f, g = functions[2 * way : 2 * way + 2]
        if not linear_before_reset:
            return GatedCell(R[way].mT, f, g), _projected(x, W[way], _sum_of_biases(B, way))
        own, recurrent_bias = _both_biases(B, R, way)
        return LinearlyGatedCell(R[way].mT, recurrent_bias, f, g), _projected(x, W[way], own)

    return _in_each_direction(cell, x, sequence_lens, (initial_h,), R.shape[-1], direction, layout)


@operator("LSTM", since=7)
def long_short_term_memory(
    x: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    P: Tensor | None = None,
    *,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: tuple[str, ...] = _USUAL_ACTIVATIONS,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> Tensors:
    """Long short-term memory: cₜ = f ∘ cₜ₋₁ + i ∘ g, hₜ = o ∘ h(cₜ), each gate of x Wᵀ + hₜ₋₁ Rᵀ + b.

    Rows of the parameters are in the order i, o, f, g. Peepholes P (of i, o and f) add P ∘ cₜ₋₁ to i and f and P ∘ cₜ
    to o; ``input_forget`` makes the forget gate 1 - i. ``activations`` are those of the gates, of the candidate and of
    the cell state on its way out (never clipped), for each direction. The third output is the last cell state; all else
    is as in ``RNN``.
    """
    functions = gate_activations(activations, activation_alpha, activation_beta)

    def formula(x: Tensor, W: Tensor, R: Tensor, B: Tensor | None, h: Tensor | None, c: Tensor | None) -> Tensors:
        def cell(way: int) -> tuple[Cell, Tensor]:
            f, g, out = functions[3 * way : 3 * way + 3]
            peepholes = None if P is None else P[way]
            f, g = clipped([f, g], clip)  # but not out, as in onnxruntime
            long_cell = LongCell(R[way].mT, f, g, out, peepholes, bool(input_forget))
            return long_cell, _projected(x, W[way], _sum_of_biases(B, way))

        return _in_each_direction(cell, x, sequence_lens, (h, c), R.shape[-1], direction, layout)

    usual = P is None and sequence_lens is None and clip is None and not (input_forget or layout)
    if not usual or direction == "reverse" or activations[: 3 * len(W)] != _USUAL_ACTIVATIONS[: 3 * len(W)]:
        return formula(x, W, R, B, initial_h, initial_c)
    zeros = x.new_zeros(len(W), x.shape[1], R.shape[-1])
    initial = (zeros if given is None else given for given in (initial_h, initial_c))
    biases = W.new_zeros(len(W), 2 * W.shape[1]) if B is None else B
    return first_order(fused_lstm, formula, x, W, R, biases, *initial)


def _in_each_direction(
    make: Callable[[int], tuple[Cell, Tensor]],
    x: Tensor,
    sequence_lens: Tensor | None,
    initial: tuple[Tensor | None, ...],
    size: int,
    direction: str,
    layout: int,
) -> Tensors:
    """Y and the last states, from the cell and the projected input of each direction; x is as the node has it."""
    batch_axis = 0 if layout else 1
    length, batch = x.shape[1 - batch_axis], x.shape[batch_axis]
    steps = torch.arange(length, device=x.device).reshape(-1, 1, 1)
    seen = None if sequence_lens is None else steps < sequence_lens.reshape(1, -1, 1)
    outputs, lasts = [], []
    for way, backwards in enumerate(_DIRECTIONS[direction]):
        cell, projected = make(way)
        ordered = projected.transpose(0, 1) if layout else projected
        state = tuple(_initial(given, way, batch_axis, x.new_zeros(batch, size)) for given in initial)
        hidden, last = unroll(cell, ordered, state, seen, backwards)
        outputs.append(hidden)
        lasts.append(last)
    y = torch.stack(outputs, 1)  # [length, directions, batch, size]
    finals = (torch.stack(column, 1 - batch_axis) for column in zip(*lasts, strict=True))
    return y.permute(2, 0, 1, 3) if layout else y, *finals


def _initial(given: Tensor | None, way: int, batch_axis: int, zeros: Tensor) -> Tensor:
    return zeros if given is None else given.select(1 - batch_axis, way)


def _projected(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + bias for all steps in one product."""
    flat = x.reshape(-1, x.shape[-1])
    projected = flat @ weight.mT if bias is None else torch.addmm(bias, flat, weight.mT)
    return projected.reshape(*x.shape[:2], weight.shape[0])


def _sum_of_biases(B: Tensor | None, way: int) -> Tensor | None:
    if B is None:
        return None
    own, recurrent_bias = B[way].chunk(2)
    return own + recurrent_bias


def _both_biases(B: Tensor | None, R: Tensor, way: int) -> tuple[Tensor, Tensor]:
    if B is None:
        zeros = R.new_zeros(R.shape[1])
        return zeros, zeros
    own, recurrent_bias = B[way].chunk(2)
    return own, recurrent_bias
