"""Activations of recurrent cells, which the standard gives by name and number instead of as nodes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import final

import torch
from torch import Tensor

from eigengate.loading.onnx.ops import activations
from eigengate.loading.onnx.registry import Floats

Activation = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True)
class _Named:
    """A function, and the defaults of those of the numbers ``alpha`` and ``beta`` that it takes."""

    function: Callable[..., Tensor]
    defaults: Mapping[str, float] = field(default_factory=dict)


def _affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * x + beta


def _scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


_ACTIVATIONS: Mapping[str, _Named] = {
    "affine": _Named(_affine, {"alpha": 1.0, "beta": 0.0}),
    "elu": _Named(activations.elu, {"alpha": 1.0}),
    "hardsigmoid": _Named(activations.hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "leakyrelu": _Named(activations.leaky_relu, {"alpha": 0.01}),
    "relu": _Named(torch.relu),
    "scaledtanh": _Named(_scaled_tanh, {"alpha": 1.0, "beta": 1.0}),
    "sigmoid": _Named(torch.sigmoid),
    "softplus": _Named(activations.softplus),
    "softsign": _Named(activations.softsign),
    "tanh": _Named(torch.tanh),
    "thresholdedrelu": _Named(activations.thresholded_relu, {"alpha": 1.0}),
}


def gate_activations(names: tuple[str, ...], alphas: Floats | None, betas: Floats | None) -> list[Activation]:
    """The functions of those names.

    Only functions that take a number consume one from ``alphas`` or ``betas``, in order, as in onnxruntime; when these
    run out, defaults take their place.
    """
    given = {"alpha": iter(alphas or ()), "beta": iter(betas or ())}
    return [_with_numbers(name, given) for name in names]


def clipped(functions: list[Activation], limit: float | None) -> list[Activation]:
    """The functions of arguments clipped to [-limit, limit]."""
    return functions if limit is None else [partial(_of_clipped, function, limit) for function in functions]


def _with_numbers(name: str, given: Mapping[str, Iterator[float]]) -> Activation:
    try:
        named = _ACTIVATIONS[name.lower()]
    except KeyError:
        raise ValueError(f"the standard has no activation '{name}' for a recurrent cell") from None
    numbers = {which: next(given[which], default) for which, default in named.defaults.items()}
    return partial(named.function, **numbers) if numbers else named.function


def _of_clipped(function: Activation, limit: float, x: Tensor) -> Tensor:
    return function(torch.clamp(x, -limit, limit))
