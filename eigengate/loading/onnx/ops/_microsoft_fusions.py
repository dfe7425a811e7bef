"""Activations that ONNX Runtime fuses into a product, by name and numbers instead of as a node."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from eigengate.errors import UnsupportedOperatorError
from eigengate.loading.onnx.ops import activations
from eigengate.loading.onnx.registry import Floats


@final
@dataclass(frozen=True)
class FusedActivation:
    """An activation and the names of the numbers it takes, in the order in which a fused convolution keeps them."""

    function: Callable[..., Tensor]
    numbers: tuple[str, ...] = ()

    def __call__(self, x: Tensor, numbers: Mapping[str, float]) -> Tensor:
        """The activation of x; numbers it does not take do not count, as ONNX Runtime has it."""
        return self.function(x, **{name: numbers[name] for name in self.numbers if name in numbers})

    def named(self, values: Floats) -> dict[str, float]:
        return dict(zip(self.numbers, values, strict=False))


def _clip(x: Tensor, *, lowest: float, highest: float) -> Tensor:
    return torch.clamp(x, lowest, highest)


def _scaled_tanh(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


def _parametric_softplus(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    result: Tensor = alpha * activations.softplus(beta * x)
    return result


_FUSED: Mapping[str, FusedActivation] = {
    "": FusedActivation(lambda x: x),
    "Relu": FusedActivation(activations.relu),
    "Tanh": FusedActivation(activations.tanh),
    "Sigmoid": FusedActivation(activations.sigmoid),
    "Softplus": FusedActivation(activations.softplus),
    "Softsign": FusedActivation(activations.softsign),
    "HardSwish": FusedActivation(activations.hard_swish),
    "LeakyRelu": FusedActivation(activations.leaky_relu, ("alpha",)),
    "ThresholdedRelu": FusedActivation(activations.thresholded_relu, ("alpha",)),
    "Elu": FusedActivation(activations.elu, ("alpha",)),
    "Celu": FusedActivation(activations.celu, ("alpha",)),
    "Selu": FusedActivation(activations.selu, ("alpha", "gamma")),
    "HardSigmoid": FusedActivation(activations.hard_sigmoid, ("alpha", "beta")),
    "Clip": FusedActivation(_clip, ("lowest", "highest")),
    "ScaledTanh": FusedActivation(_scaled_tanh, ("alpha", "beta")),
    "ParametricSoftplus": FusedActivation(_parametric_softplus, ("alpha", "beta")),
}


def fused_activation(name: str) -> FusedActivation:
    """The activation of that name; an empty name is none at all.

    Raises:
        UnsupportedOperatorError: there is no such activation here.
    """
    if name not in _FUSED:
        raise UnsupportedOperatorError(
            f"no function is known for the fused activation '{name}'",
            hint="Save the model with a lower graph optimisation level.",
        )
    return _FUSED[name]
